"""The rules of an evaluation, as data: `EvalProtocol`, its spellings, its presets and its fingerprint."""

from crbench.protocol.parse import Codec, Reranking
from crbench.protocol.rules import EVALUATION_VERSION, KERNELS, EvalProtocol

__all__ = ["EVALUATION_VERSION", "KERNELS", "Codec", "EvalProtocol", "Reranking"]
