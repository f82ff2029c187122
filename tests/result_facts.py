"""Facts of results whose digests are right, for results that tests make by hand."""

from __future__ import annotations

from typing import Any

from crbench.protocol import EVALUATION_VERSION
from crbench.results import ProtocolFacts, block_fingerprint
from crbench.results.files import sealed


def facts_of(dataset: str, protocol: ProtocolFacts, limit: int | None = None) -> dict[str, Any]:
    """The fields of a result that make its fingerprint, and this."""
    return {
        "dataset": dataset,
        "protocol": protocol,
        "limit": limit,
        "evaluation_version": EVALUATION_VERSION,
        "fingerprint": block_fingerprint(dataset, protocol.rules, limit, EVALUATION_VERSION),
    }


def resealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a result file after an edit, as if it had been written so."""
    return content | {"content_sha256": sealed(content)}
