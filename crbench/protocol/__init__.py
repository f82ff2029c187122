"""The rules of an evaluation, as data: `EvalProtocol`, its spellings, its presets and its fingerprint."""

from crbench.protocol.rules import EVALUATION_VERSION, KERNELS, EvalProtocol, Reranking

__all__ = ["EVALUATION_VERSION", "KERNELS", "EvalProtocol", "Reranking"]
