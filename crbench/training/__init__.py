"""One training engine for every `crbench.api.Trainable` backbone: an `Objective` and a `Recipe`.

The usual case is a network body with a BN neck, ID loss and triplet loss: wrap it as an `Embedder` and call `train`.
A method with its own losses, masks or phases passes an `Objective` and `Phase` records to `train_objective`.
A backbone takes its `Recipe` as one argument, which `crbench.api.parameters.Flattened` offers to users field by field.
Importing this package imports torch.
"""

from crbench.api.context import Epoch
from crbench.training.embedder import Embedder
from crbench.training.engine import train, train_objective
from crbench.training.losses import batch_hard_triplet
from crbench.training.objective import IdTriplet, Objective, ParameterGroup, TrainBatch, identity_classifier
from crbench.training.phases import History, Phase
from crbench.training.processes import gathered
from crbench.training.recipe import Recipe, learning_rate
from crbench.training.sampler import PKSampler, Sampler
from crbench.training.seeding import seeded

__all__ = [
    "Embedder",
    "Epoch",
    "History",
    "IdTriplet",
    "Objective",
    "PKSampler",
    "ParameterGroup",
    "Phase",
    "Recipe",
    "Sampler",
    "TrainBatch",
    "batch_hard_triplet",
    "gathered",
    "identity_classifier",
    "learning_rate",
    "seeded",
    "train",
    "train_objective",
]
