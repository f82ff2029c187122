"""The rules of an evaluation, as data.

`rules` holds `EvalProtocol`: a name and three groups of rules, `split`, `images` and `scoring`, whose attributes are
declared by `declare.rule`. `parse` reads the spellings of their values; `presets` has the rules of other tools; `page`
prints all rules; `hashing` makes fingerprints and other digests.
"""

from crbench.protocol.images import KERNELS, ImageRules
from crbench.protocol.parse import Codec, Reranking
from crbench.protocol.rules import EVALUATION_VERSION, EvalProtocol
from crbench.protocol.scoring import ScoringRules
from crbench.protocol.split import SplitRules

__all__ = [
    "EVALUATION_VERSION",
    "KERNELS",
    "Codec",
    "EvalProtocol",
    "ImageRules",
    "Reranking",
    "ScoringRules",
    "SplitRules",
]
