"""The published schema of result files; ``crbench results schema`` prints it, and ``crbench/schema`` holds a copy."""

from __future__ import annotations

from typing import Any

from crbench.api.metric import METRIC_NAME
from crbench.config.json_schema import record_schema
from crbench.metrics.cmc import SUMMARY_RANKS
from crbench.results import records, scores
from crbench.results.records import SCHEMA_VERSION, Result

_METRIC = f"^(?:{METRIC_NAME.pattern})$"
_SUMMARY = f"^(?:R(?:{'|'.join(map(str, SUMMARY_RANKS))})|{METRIC_NAME.pattern})$"
_RATE = f"^{scores.RATE.pattern}$"
_FRACTION = {"type": "number", "minimum": 0, "maximum": 1}
_SUMMARIES = {
    "propertyNames": {"pattern": _SUMMARY},
    "patternProperties": {r"^R\d": {"$ref": "#/$defs/Summary", "properties": {"mean": _FRACTION}}},
    "additionalProperties": {"$ref": "#/$defs/Summary"},
}


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a result file.

    Example:
        >>> schema()["properties"]["schema_version"]["const"]
        2
    """
    about = {
        "$id": f"urn:crbench:schema:result-{SCHEMA_VERSION}",
        "title": "crbench result",
        "description": "One evaluated (or failed) cell: one data set, protocol, backbone and aligner. Shares, such as "
        "CMC and mAP, are fractions in [0, 1].",
        "if": {"properties": {"status": {"const": "ok"}}},
        "then": {"properties": {"error": {"type": "null"}, "trials": {"minItems": 1}, "metrics": {"minProperties": 1}}},
        "else": {"properties": {"error": {"type": "string"}}},
    }
    return record_schema(
        Result,
        about,
        by_function={
            scores.finite: {"minimum": 0},
            scores.fractions: {"items": _FRACTION},
            scores.named_scores: {"propertyNames": {"pattern": _METRIC}},
            scores.rate_keys: {"propertyNames": {"pattern": _RATE}},
            records.utc: {"format": "date-time"},
        },
        by_field={
            "Result.schema_version": {"const": SCHEMA_VERSION},
            "Result.fingerprint": {"pattern": "^[0-9a-f]{12}$"},
            "Result.metric_facts": {"propertyNames": {"pattern": _METRIC}},
            "Result.metrics": _SUMMARIES,
            "Result.by_rate": {
                "propertyNames": {"pattern": _RATE},
                "additionalProperties": {"type": "object", **_SUMMARIES},
            },
        },
    )
