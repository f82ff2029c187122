"""Features of the same images by two networks, or by one in two arithmetics, beside each other."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import torch

from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Precomputed, Reader
from crbench.arrays import to_features
from crbench.config.amp import Amp
from crbench.config.paths import data_root
from crbench.config.run_spec import RunSpec
from crbench.errors import ComparisonError, ConfigError, DataError
from crbench.files.feature_files import load_arrays
from crbench.harness.backbone import job_weights, provide_backbone
from crbench.harness.environment import pick_device
from crbench.harness.extract.extractor import extraction_for
from crbench.harness.extract.sample import ImageSample, Timed
from crbench.harness.fidelity import Fidelity
from crbench.harness.plan import Job, make_plan
from crbench.harness.trial import TrialData, load_trials, make_reader
from crbench.records import Samples
from crbench.results import Extraction

ALONE = 8
"""Images that the network computes alone, too."""


@attrs.frozen(kw_only=True)
class Side:
    """What computed features, and how.

    Attributes:
        name: of the backbone, or the file.
        amp: arithmetic of the network; None = the features come from a file.
        columns: length of a feature.
        images_per_s: pace of the network; None = from a file.
        alone: least cosine of an image's feature alone and in a batch; None = from a file.
    """

    name: str
    columns: int
    amp: Amp | None = None
    images_per_s: float | None = None
    alone: float | None = None


@attrs.frozen(kw_only=True, eq=False)
class FeaturesBeside:
    """Two computations of the features of n images.

    Attributes:
        sides: both.
        fidelity: how alike they are.
        rows: the images, in the order of `fidelity`; None where files do not name them.
        images: what they are images of.
    """

    sides: tuple[Side, Side]
    fidelity: Fidelity
    rows: Samples | None
    images: str


def features_beside(
    specs: tuple[RunSpec, RunSpec], count: int, *, batch: int, context: RunContext | None = None
) -> FeaturesBeside:
    """The same test images of a trial by the backbones of two specs, in the arithmetic of each.

    Args:
        specs: alike but for backbone, weights and arithmetic; the images are those of the first.
        count: images, drawn by a fixed seed from queries and gallery.
        batch: images that a network gets at once.

    Raises:
        ConfigError: features that are there already, or ``amp="auto"``.
        ComparisonError: features of other lengths.
        CrbenchError: see `crbench.run`.
    """
    context = context or RunContext()
    networks = [_Network.of(spec, context) for spec in specs]
    rows = networks[0].test_rows
    samples = [network.sample(rows, count, batch) for network in networks]
    found = [
        sample.timed([(network.backbone, network.extraction)])[0]
        for network, sample in zip(networks, samples, strict=True)
    ]
    sides = [network.side(sample.rows, timed) for network, sample, timed in zip(networks, samples, found, strict=True)]
    if sides[0].columns != sides[1].columns:
        raise ComparisonError(_other_lengths(sides[0], sides[1]))
    trial = networks[0].trial
    return FeaturesBeside(
        sides=(sides[0], sides[1]),
        fidelity=Fidelity.of(found[0].x, found[1].x),
        rows=samples[0].rows,
        images=f"queries and gallery of {networks[0].job.dataset.public_name}, trial {trial.index}",
    )


def files_beside(one: Path, other: Path) -> FeaturesBeside:
    """The features of two files, row by row; see `crbench.files.feature_files.load_arrays`.

    Raises:
        ComparisonError: other numbers of rows or columns, or other images by their keys.
        DataError: no such files, fewer than two rows, or a row that is zero or not finite.
    """
    both = [load_arrays(path, meta=None, role=None) for path in (one, other)]
    sides = [Side(name=str(path), columns=arrays.x.shape[1]) for path, arrays in zip((one, other), both, strict=True)]
    counts = [len(arrays.x) for arrays in both]
    if counts[0] != counts[1]:
        raise ComparisonError(f"{one} has features of {counts[0]} images, {other} of {counts[1]}; expected the same")
    if sides[0].columns != sides[1].columns:
        raise ComparisonError(_other_lengths(sides[0], sides[1]))
    if counts[0] < 2:
        raise DataError(f"{one}: features of {counts[0]} images; expected at least two, to say which are near")
    keys = [arrays.columns.get("keys") for arrays in both]
    if keys[0] is not None and keys[1] is not None and not np.array_equal(keys[0], keys[1]):
        first = int(np.flatnonzero(keys[0] != keys[1])[0])
        raise ComparisonError(f"row {first} is {keys[0][first]} in {one} and {keys[1][first]} in {other}")
    named = keys[0] if keys[0] is not None else keys[1]
    rows = None if named is None else Samples(keys=named, pids=np.zeros(counts[0], dtype=np.int64))
    x = [to_features(arrays.x) for arrays in both]
    for path, features in zip((one, other), x, strict=True):
        if len(bad := torch.nonzero(~torch.isfinite(features).all(dim=1))):
            raise DataError(f"{path}: row {int(bad[0])} holds NaN or infinite values")
        if len(bad := torch.nonzero((features == 0).all(dim=1))):
            raise DataError(
                f"{path}: row {int(bad[0])} is zero, so it has no direction and no cosine; leave its image out"
            )
    return FeaturesBeside(
        sides=(sides[0], sides[1]), fidelity=Fidelity.of(x[0], x[1]), rows=rows, images="given features"
    )


def _other_lengths(one: Side, other: Side) -> str:
    return f"{one.name} gives features of {one.columns} columns, {other.name} of {other.columns}; expected the same"


@attrs.frozen(eq=False)
class _Network:
    """A ready backbone, its trial and how it extracts."""

    job: Job
    trial: TrialData
    backbone: Backbone
    read: Reader
    extraction: Extraction
    device: str

    @classmethod
    def of(cls, spec: RunSpec, context: RunContext) -> _Network:
        if spec.amp == "auto":
            raise ConfigError("amp auto: name the arithmetic that is to be compared, off, bf16 or fp16")
        job = make_plan(attrs.evolve(spec, aligner=("none",), baseline=True)).jobs[0]
        run = attrs.evolve(context, seed=spec.seed, device=pick_device(spec.device))
        trials = load_trials(job, spec, run)
        read = make_reader(job, trials[0].digest_of, data_root(spec.data_root))
        ready = provide_backbone(job, trials, job_weights(job, trials, spec, run), read=read, run=run)
        if isinstance(ready.backbone, Precomputed):
            raise ConfigError(f"{job.backbone.name} gives features that are there already; name two files of features")
        return cls(job, trials[0], ready.backbone, read, extraction_for(spec, run.device), run.device)

    @property
    def test_rows(self) -> Samples:
        return Samples.concat([self.trial.split.query, self.trial.split.gallery])

    def sample(self, rows: Samples, count: int, size: int) -> ImageSample:
        owner = self.job.backbone.registered.owner
        return ImageSample.of(rows, count, self.backbone, self.read, size=size, device=self.device, owner=owner)

    def side(self, rows: Samples, timed: Timed) -> Side:
        """What is told of it, after a look at some of the rows alone."""
        (alone,) = self.sample(rows.take(np.arange(min(ALONE, len(rows)))), ALONE, 1).timed(
            [(self.backbone, self.extraction)], rounds=1
        )
        same = Fidelity.of(alone.x, timed.x[: len(alone.x)])
        return Side(
            name=self.job.backbone.name,
            columns=timed.x.shape[1],
            amp=self.extraction.amp,
            images_per_s=len(timed.x) / timed.seconds,
            alone=float(same.cosines.min()),
        )
