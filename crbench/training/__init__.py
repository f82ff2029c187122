"""One training engine for every `crbench.interfaces.Trainable` backbone: a model as `Embedder`, the rest as `Recipe`.

Importing this package imports torch.
"""

from crbench.training.embedder import Embedder
from crbench.training.engine import Epoch, History, train
from crbench.training.recipe import Recipe
from crbench.training.seeding import seeded

__all__ = ["Embedder", "Epoch", "History", "Recipe", "seeded", "train"]
