"""The rules of an evaluation, as data.

`rules` holds `EvalProtocol`, whose attributes are declared by `declare.rule`; `parse` reads the spellings of their
values; `presets` has the rules of other tools; `page` prints all rules; `hashing` makes fingerprints and other digests.
"""

from crbench.protocol.parse import Codec, Reranking
from crbench.protocol.rules import EVALUATION_VERSION, KERNELS, EvalProtocol

__all__ = ["EVALUATION_VERSION", "KERNELS", "Codec", "EvalProtocol", "Reranking"]
