"""Step 4, a part: ``--amp auto``, the arithmetic that this machine extracts fastest in without changing ranks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs
import numpy as np
import torch

from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Precomputed, Reader
from crbench.config.amp import Amp
from crbench.config.paths import data_root
from crbench.config.run_spec import RunSpec
from crbench.errors import ComparisonError, ConfigError, CrbenchError, DataError, SystemFaultError
from crbench.harness.backbone import ReadyBackbone, backbone_key, provide_backbone
from crbench.harness.environment import describe_machine
from crbench.harness.extract.extractor import extraction_for
from crbench.harness.extract.sample import ImageSample
from crbench.harness.fidelity import Fidelity
from crbench.harness.plan import Job
from crbench.harness.trial import TrialData, make_reader
from crbench.protocol.hashing import digest
from crbench.records import Samples
from crbench.results import Extraction
from crbench.store.cache import Cache
from crbench.store.files import write_text

HALF: Amp = "bf16"
"""The type that is tried beside float32: it has float32's range, so that no network overflows."""

IMAGES, BATCH = 128, 32
"""Training images, HR and LR, on which speed and features are compared, and how many the network gets at once."""

FASTER = 1.1
"""How many times as fast the half precision must be to be taken: less is not worth a changed feature."""

PER_PERSON = 4
"""Images of a person among them, each at one rate: an image has others to be found by, and none is itself shrunk."""

MOST_FLIPS = 0.01
"""Share of images whose nearest other image may show another person in half precision."""

_STOPS = (ConfigError, DataError, ComparisonError, SystemFaultError)
"""Errors for which no method is to blame."""

_VERSION = 2
"""Raised when the same measurements lead to another choice, or others are made."""


@attrs.frozen
class Choice:
    """What was measured of a backbone on a machine.

    Attributes:
        speedup: how many times as fast it extracts in half precision.
        images, flips: how many images were compared, and for how many the nearest other one shows another person.
        least_cosine: of the features of an image in both arithmetics.
    """

    speedup: float
    images: int
    flips: int
    least_cosine: float

    @property
    def amp(self) -> Amp:
        """The arithmetic to take: half precision where it is faster and keeps ranks, else float32.

        Example:
            >>> Choice(2.0, 128, 1, 0.999).amp, Choice(2.0, 128, 60, 0.999).amp, Choice(0.9, 128, 0, 0.999).amp
            ('bf16', 'off', 'off')
        """
        return HALF if self.speedup >= FASTER and self._keeps_ranks else "off"

    @property
    def _keeps_ranks(self) -> bool:
        return self.flips <= MOST_FLIPS * self.images

    def __str__(self) -> str:
        kept = f"{self.images - self.flips} of {self.images} images find the same person first"
        facts = f"{kept}, cosine at least {self.least_cosine:.6f}"
        if self.amp == HALF:
            return f"{HALF}, {self.speedup:.2g} times as fast as float32; {facts}"
        verdict = ", which is not worth it" if self._keeps_ranks else " but changes ranks"
        return f"float32; {HALF} is {self.speedup:.2g} times as fast{verdict}: {facts}"


def settled_extraction(
    job: Job, trials: Sequence[TrialData], weights: Path | None, spec: RunSpec, run: RunContext, cache: Cache | None
) -> Extraction:
    """How a run computes features on its device; what the spec leaves open is settled.

    ``amp="auto"`` is measured once for a backbone with its weights on a machine, and kept in the cache. It looks at
    training images only. The log says what was taken, and why.

    Args:
        weights: the one weights file for all trials; None = each trial has its own, and the first decides.

    Raises:
        CrbenchError: nothing can be run as asked. A backbone that fails is left to the run, which fails its cells.
    """
    extraction = extraction_for(spec, run.device)
    if spec.amp != "auto":
        return extraction
    try:
        choice = _choice(job, trials, weights, spec, extraction, run, cache)
    except _STOPS:
        raise
    except (CrbenchError, torch.cuda.OutOfMemoryError) as error:
        run.logger.warning("amp auto for %s: float32, as nothing could be measured (%s)", job.backbone.name, error)
        return extraction
    if choice is None:
        return extraction
    run.logger.info("amp auto for %s: %s", job.backbone.name, choice)
    return attrs.evolve(extraction, amp=choice.amp)


def _choice(
    job: Job,
    trials: Sequence[TrialData],
    weights: Path | None,
    spec: RunSpec,
    extraction: Extraction,
    run: RunContext,
    cache: Cache | None,
) -> Choice | None:
    """What is known or measured now; None for features that are there already, or without training images."""
    key = backbone_key(job, trials[0], weights, run)
    same = [trial for trial in trials if backbone_key(job, trial, weights, run) == key]
    read = make_reader(job, trials[0].digest_of, data_root(spec.data_root))
    ready = provide_backbone(job, same, weights, read=read, run=run)
    if isinstance(ready.backbone, Precomputed) or len(trials[0].train_all) < 2:
        return None
    path = None
    if cache is not None and job.backbone.code_sha256 is not None:
        path = cache.root / "arithmetic" / f"{_machine_key(ready, extraction, run.device)}.json"
        if (known := _kept(path)) is not None:
            return known
    found = _measured(job, ready.backbone, trials[0], extraction, read, run.device)
    if cache is not None and path is not None:
        text = json.dumps(
            {**attrs.asdict(found), "backbone": job.backbone.name, "machine": describe_machine(run.device)}
        )
        cache.keep(partial(write_text, path, text + "\n"))
    return found


def _machine_key(ready: ReadyBackbone, extraction: Extraction, device: str) -> str:
    facts = {
        "backbone": ready.facts,
        "compile": extraction.compile,
        "machine": describe_machine(device),
        "version": _VERSION,
    }
    return digest(facts)


def _kept(path: Path) -> Choice | None:
    """A choice of an earlier run; None where there is none that can be read."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return Choice(**{field.name: known[field.name] for field in attrs.fields(Choice)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _measured(
    job: Job, backbone: Backbone, trial: TrialData, extraction: Extraction, read: Reader, device: str
) -> Choice:
    owner = job.backbone.registered.owner
    rows = _sample(trial.train_all)
    sample = ImageSample.of(rows, IMAGES, backbone, read, size=BATCH, device=device, owner=owner)
    ways = [(backbone, attrs.evolve(extraction, amp=amp)) for amp in ("off", HALF)]
    plain, half = sample.timed(ways)
    fidelity = Fidelity.of(plain.x, half.x)
    return Choice(
        speedup=plain.seconds / half.seconds,
        images=len(fidelity),
        flips=int(np.not_equal(*sample.rows.pids[fidelity.nearest]).sum()),
        least_cosine=float(fidelity.cosines.min()),
    )


def _sample(rows: Samples) -> Samples:
    """At most `IMAGES` of the rows: of each person at most `PER_PERSON`, of each image one, at any of its rates."""
    order = np.random.default_rng(0).permutation(len(rows))
    _, first = np.unique(rows.keys[order], return_index=True)
    images = order[np.sort(first)]
    taken: dict[int, list[int]] = {pid: [] for pid in rows.pids[images].tolist()}
    for image in images.tolist():
        if len(own := taken[int(rows.pids[image])]) < PER_PERSON:
            own.append(image)
    return rows.take(np.array([image for own in taken.values() for image in own][:IMAGES], dtype=np.intp))
