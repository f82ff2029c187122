"""crbench: exact, comparable, reproducible numbers for cross-resolution person re-identification.

Every public name is loaded at its first use, so that ``import crbench`` stays light (no torch, no Pillow).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from crbench._version import __version__

if TYPE_CHECKING:
    from crbench.api.entry import API_VERSION as API_VERSION
    from crbench.api.entry import Entry as Entry
    from crbench.api.hooks import hookimpl as hookimpl
    from crbench.api.metric import Metric as Metric
    from crbench.config.run_spec import RunSpec as RunSpec
    from crbench.errors import CrbenchError as CrbenchError
    from crbench.evaluation import evaluate as evaluate
    from crbench.harness.run import run as run
    from crbench.harness.train import train as train
    from crbench.protocol import EvalProtocol as EvalProtocol
    from crbench.records import Features as Features
    from crbench.records import Samples as Samples
    from crbench.records import features_from_arrays as features_from_arrays
    from crbench.registry.load import list_plugins as list_plugins
    from crbench.registry.load import load_aligner as load_aligner
    from crbench.registry.load import load_backbone as load_backbone
    from crbench.registry.load import load_dataset as load_dataset
    from crbench.report import render as render
    from crbench.results import load_results as load_results

_ROOMS = {
    "API_VERSION": "api.entry",
    "CrbenchError": "errors",
    "Entry": "api.entry",
    "EvalProtocol": "protocol",
    "Features": "records",
    "Metric": "api.metric",
    "RunSpec": "config.run_spec",
    "Samples": "records",
    "evaluate": "evaluation",
    "features_from_arrays": "records",
    "hookimpl": "api.hooks",
    "list_plugins": "registry.load",
    "load_aligner": "registry.load",
    "load_backbone": "registry.load",
    "load_dataset": "registry.load",
    "load_results": "results",
    "render": "report",
    "run": "harness.run",
    "train": "harness.train",
}

__all__ = ["__version__", *_ROOMS]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'crbench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"crbench.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
