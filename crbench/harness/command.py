"""The command that repeats a cell, for its result."""

from __future__ import annotations

import shlex
from typing import Any

from crbench.config.paths import weights_root
from crbench.harness.brought import brought_file
from crbench.harness.facts import JobFacts
from crbench.registry.resolve import Resolved

_PARTS = ("protocol", "dataset", "backbone")


def command_line(facts: JobFacts, aligner: Resolved) -> str:
    """The command that repeats one cell; it names every method, trial and setting, and relies on no default."""
    spec, job = facts.spec, facts.job
    words = ["crbench", "run", "--dataset", job.dataset.shown_name, "--protocol", job.protocol.name]
    if job.partner is not None:
        words += ["--fit-on", job.partner.dataset.shown_name]
    words += ["--backbone", job.backbone.name, "--aligner", aligner.name]
    words += ["--trial", ",".join(str(trial) for trial in job.trials), "--seed", str(spec.seed)]
    words += ["--device", facts.run.device, "--batch-size", str(facts.extraction.batch_size), "--no-baseline"]
    if facts.extraction.amp != "off":
        words += ["--amp", facts.extraction.amp]
    if facts.extraction.compile:
        words += ["--compile"]
    if spec.weights is not None:
        words += ["--weights", str(spec.weights)]
    # A file that the data set brings is found by itself. Others that nobody named lie in the weights folder.
    elif facts.weights is not None and facts.weights != brought_file(job):
        words += ["--weights", str(facts.weights.relative_to(weights_root()))]
    if spec.weights_sha256 is not None:
        words += ["--weights-sha256", spec.weights_sha256]
    if spec.limit is not None:
        words += ["--limit", str(spec.limit)]
    for name in spec.metric:
        words += ["--metric", name]
    if spec.on_bad_image != "error":
        words += ["--on-bad-image", spec.on_bad_image]
    if not spec.outcomes:
        words += ["--no-outcomes"]
    if spec.hash_keys:
        words += ["--hash-keys"]
    methods = {"backbone": job.backbone.registered.entry, "dataset": job.dataset.registered.entry}
    # --backbone NAME:ARGUMENT says it
    said = {f"{part}.{entry.argument}" for kind, entry in methods.items() for part in (kind, entry.name)}
    for key, value in sorted((key, value) for key, value in job.settings.items() if key not in said):
        part = key.partition(".")[0]
        if (
            part in {*_PARTS, *_names(job.dataset, job.backbone, aligner)}
            or (part in {"partner", *_names(job.fitting.dataset)} and job.partner is not None)
            or (part == "aligner" and key.partition(".")[2] in aligner.parameters)
        ):
            words += ["--set", f"{key}={_toml(value)}"]
    return shlex.join(words)


def _names(*methods: Resolved) -> set[str]:
    return {method.registered.entry.name for method in methods}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return repr(value) if isinstance(value, (int, float)) else f'"{value}"'
