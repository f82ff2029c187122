"""Step 1, a part: which runs of a config take a setting of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from crbench.config.run_spec import RunSpec
from crbench.config.settings import PARTS
from crbench.harness.match import pair
from crbench.registry.discovery import installed
from crbench.registry.request import Request


def where_they_fit(specs: Sequence[RunSpec], given: Iterable[str]) -> list[RunSpec]:
    """Runs without those of some settings that name a method, or a data set of ``--fit-on``, that other runs have.

    A setting that fits none of them stays in all, so that `crbench.harness.plan.make_plan` refuses it.

    Args:
        specs: runs of a config, all with the settings.
        given: the settings, by ``part.name``. Those of a config itself are not meant: there each run has its own.

    Raises:
        ConfigError: an unknown data set or aligner.
    """
    found, names = list(specs), [_names(spec) for spec in specs]
    for key in given:
        fits = [_fits(key.partition(".")[0], spec, known) for spec, known in zip(specs, names, strict=True)]
        if any(fits):
            found = [spec if own else _without(spec, key) for spec, own in zip(found, fits, strict=True)]
    return found


def _fits(part: str, spec: RunSpec, names: set[str]) -> bool:
    return bool(spec.fit_on) if part == "partner" else part in PARTS or part in names


def _names(spec: RunSpec) -> set[str]:
    """Names of all data sets, backbones and aligners of a run."""
    found = {*spec.dataset, *spec.fit_on}
    for name in spec.dataset:
        entry = installed().get("dataset", Request.parse(name).owned_name).entry
        for backbone, aligners in pair(spec, entry, []).items():
            found |= {backbone, *aligners}
    return {Request.parse(text).name for text in found}


def _without(spec: RunSpec, key: str) -> RunSpec:
    return attrs.evolve(spec, set={name: value for name, value in spec.set.items() if name != key})
