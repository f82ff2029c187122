"""The result of one cell, as a record and as a JSON file.

A cell is one (data set, protocol, backbone, aligner). Its file is one JSON object that follows the published schema
(`schema`); the top-level keys are the fields of `Result`. Scores are fractions in [0, 1], never per cent.
"""

from __future__ import annotations

from crbench.results.evidence import LEVELS, Evidence, Level
from crbench.results.files import from_json, load_results, to_json
from crbench.results.intervals import Interval, Intervals
from crbench.results.json_schema import schema
from crbench.results.method import Component, Extraction, FittedOn, Method, WeightsFacts
from crbench.results.records import (
    BASELINE,
    SANITY,
    SCHEMA_VERSION,
    DataFacts,
    Environment,
    OutcomesFacts,
    Result,
    Timing,
)
from crbench.results.rules import ProtocolFacts, block_fingerprint
from crbench.results.scores import MetricFacts, RateScores, Summary, TrialScores, summarise, summarise_rates

__all__ = [
    "BASELINE",
    "SANITY",
    "LEVELS",
    "SCHEMA_VERSION",
    "Component",
    "DataFacts",
    "Environment",
    "Evidence",
    "Extraction",
    "FittedOn",
    "Interval",
    "Intervals",
    "Level",
    "Method",
    "MetricFacts",
    "OutcomesFacts",
    "ProtocolFacts",
    "RateScores",
    "Result",
    "Summary",
    "Timing",
    "TrialScores",
    "WeightsFacts",
    "block_fingerprint",
    "from_json",
    "load_results",
    "schema",
    "summarise",
    "summarise_rates",
    "to_json",
]
