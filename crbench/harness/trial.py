"""Steps 2 and 3: splits and rates, checked so that training and test stay apart, and a reader of the images."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import RunContext
from crbench.api.data_capabilities import CountsImages
from crbench.api.interfaces import Reader
from crbench.config.paths import data_root
from crbench.config.run_spec import RunSpec
from crbench.data.degrade import degrade
from crbench.data.info import deviations
from crbench.data.rates import from_heights
from crbench.errors import ComparisonError, DataError
from crbench.evaluation.masks import UNKNOWN_CAMERA
from crbench.harness.extract.pipeline import worker_count
from crbench.harness.plan import Job
from crbench.harness.source import read_digests, read_image, read_split
from crbench.protocol import EvalProtocol
from crbench.records import Row, Samples, Split
from crbench.registry.guard import plugin_stage

if TYPE_CHECKING:
    from PIL.Image import Image

_HASHED_AT_ONCE = 2048
"""Files between two steps of the progress bar."""

_OPEN_IMAGES = 64
"""Decoded images that are kept. LR copies of an image are asked for one after another, and decode it once."""


@attrs.frozen(eq=False)
class TrialData:
    """The split of one trial, with content hashes of its images.

    Attributes:
        index: number of the trial.
        train_all: HR training rows and their LR copies at the protocol's training rates.
        digest_of: content hash by image key.
        skipped: unreadable test images that were left out.
        partner: the training rows of another data set, on which aligners are fitted; it has no test rows. None = they
            are fitted on these.
    """

    index: int
    split: Split
    train_all: Samples
    digest_of: Mapping[str, str]
    skipped: int
    partner: TrialData | None = None

    @property
    def fitting(self) -> TrialData:
        """The trial whose training rows aligners are fitted on."""
        return self.partner or self

    def digests(self, rows: Samples) -> NDArray[np.str_]:
        """Content hash per row."""
        return np.array([self.digest_of[key] for key in rows.keys.tolist()])


def load_trials(job: Job, spec: RunSpec, run: RunContext) -> list[TrialData]:
    """The splits of all trials of a job, checked.

    Raises:
        DataError: data missing, or an unreadable image (found when it is read) unless the spec says to skip it.
        ComparisonError: a test image is also a training image, or aligners would be fitted on persons of the test.
    """
    trials = _load(job, [read_split(job, trial, data_root(spec.data_root)) for trial in job.trials], spec, run)
    if job.partner is None:
        return trials
    partner = job.partner
    splits = [_train_only(read_split(partner, trial, data_root(spec.data_root))) for trial in job.trials]
    fitted = _load(partner, splits, spec, run)
    for trial, other in zip(trials, fitted, strict=True):
        _check_partner(job, trial, partner, other)
    return [attrs.evolve(trial, partner=other) for trial, other in zip(trials, fitted, strict=True)]


def _load(job: Job, splits: list[Split], spec: RunSpec, run: RunContext) -> list[TrialData]:
    root = data_root(spec.data_root)
    if left_out := splits[0].notes:
        listed = ", ".join(f"{name}: {count}" for name, count in left_out.items())
        run.logger.info("%s leaves out images (%s)", job.dataset.name, listed)
    if spec.limit is not None:
        splits = [_limited(split, spec.limit) for split in splits]
    keys = np.unique(np.concatenate([rows.keys for split in splits for rows in _roles(split)]))
    skips, workers = spec.on_bad_image == "skip", worker_count(spec.num_workers)
    bad = _unreadable(job, keys, root, run, workers) if skips else frozenset()
    digests = _digests(job, keys[~np.isin(keys, list(bad))], root, run)  # what cannot be opened has no digest
    trials = []
    for index, split in zip(job.trials, splits, strict=True):
        skipped = sum(int(np.isin(rows.keys, list(bad)).sum()) for rows in (split.query, split.gallery))
        kept = _without(split, bad)
        _check_leakage(kept, digests, f"{job.dataset.name}, trial {index}")
        _check_tracklets(kept, job.protocol, f"{job.dataset.name}, trial {index}")
        if (height := job.protocol.split.full_height) is not None:
            kept = _with_estimated_rates(kept, job.protocol, height, make_reader(job, digests, root), run)
        train_all = with_lr_copies(kept.train, job.protocol)
        trials.append(TrialData(index=index, split=kept, train_all=train_all, digest_of=digests, skipped=skipped))
    return trials


def copy_deviations(job: Job, root: Path) -> tuple[str, ...]:
    """A text for each published count of the data set that the copy below `root` does not have.

    What the copy holds is compared, not what the run takes of it (``--limit``).

    Raises:
        DataError: the data are missing.
        PluginError: the data set fails.
    """
    if not isinstance(job.source, CountsImages):
        return ()
    with plugin_stage(job.dataset.registered.owner, "counts"):
        return deviations(job.source.counts(root=root), job.source.info.counts)


def with_lr_copies(train: Samples, protocol: EvalProtocol) -> Samples:
    """Training rows, followed by the HR ones again at each of the protocol's training rates."""
    hr = train.take(train.rates == 1)
    return Samples.concat([train, *(hr.at_rate(rate) for rate in protocol.split.train_rates)])


def training_rows(job: Job, trial: TrialData) -> Samples:
    """The rows of a trial that the backbone's entry asks for: the HR training rows, or all of them."""
    if job.backbone.registered.entry.train_rows == "all":
        return trial.train_all
    return trial.split.train.take(trial.split.train.rates == 1)


def make_reader(job: Job, digest_of: Mapping[str, str], root: Path) -> Reader:
    """A function from a row to its image as the protocol shows it; threads that ask for one image decode it once.

    What is known by the digest of an image must come from that image, so the bytes that are decoded must be those that
    were digested when the run began.

    Args:
        digest_of: content hash by image key, as in `TrialData`.
    """
    locks = [threading.Lock() for _ in range(_OPEN_IMAGES)]

    @functools.lru_cache(maxsize=_OPEN_IMAGES)
    def stored(key: str) -> Image:
        found = read_image(job, key, root)
        if found.digest != digest_of[key]:
            raise DataError(
                f"image {key} of {job.dataset.name} was replaced while it was in use: its digest was "
                f"{digest_of[key]} and is {found.digest}; run again when nothing writes to the images"
            )
        return found.image

    def read(row: Row) -> Image:
        with locks[hash(row.key) % len(locks)]:
            image = stored(row.key)
        return degrade(image, row.rate / row.native_rate, job.protocol.images, digest_of[row.key])

    return read


def _with_estimated_rates(
    split: Split, protocol: EvalProtocol, full_height: int, read: Reader, run: RunContext
) -> Split:
    """The split with rates of query and gallery rows estimated from the heights of their images."""

    def estimated(rows: Samples) -> Samples:
        heights = np.empty(len(rows))
        with run.progress(len(rows), "measure images", "image") as bar:
            for index in range(len(rows)):
                heights[index] = read(rows.row(index)).height
                bar.advance()
        _, item = rows.items()
        heights = (np.bincount(item, heights) / np.bincount(item))[item]  # a tracklet has one rate
        rates = from_heights(heights, full_height, protocol.split.train_rates)
        return attrs.evolve(rows, rates=rates, native_rates=rates * rows.native_rates / rows.rates)

    return attrs.evolve(split, query=estimated(split.query), gallery=estimated(split.gallery))


def _train_only(split: Split) -> Split:
    nobody = split.query.take(np.zeros(len(split.query), dtype=np.bool_))
    return attrs.evolve(split, query=nobody, gallery=nobody)


def _check_partner(job: Job, trial: TrialData, partner: Job, other: TrialData) -> None:
    """Refuse persons and images of the test among the rows of another data set that aligners are fitted on.

    Numbers of persons mean the same within a data set of one name only; across data sets, images tell.
    """
    query, gallery = trial.split.query, trial.split.gallery
    same = partner.source.info.name == job.source.info.name
    people = np.concatenate([query.pids, gallery.pids[gallery.pids > 0]])
    shared = np.intersect1d(other.split.train.pids, people) if same else np.empty(0, dtype=np.int64)
    asked = np.concatenate([query.keys, gallery.keys[np.isin(gallery.pids, query.pids)]])
    images = {trial.digest_of[key] for key in asked.tolist()} & set(other.digests(other.split.train).tolist())
    if len(shared) or images:
        raise ComparisonError(
            f"--fit-on {partner.dataset.name}: its training rows show {len(shared)} identities and {len(images)} "
            f"images of the test in trial {trial.index} of {job.dataset.name}; fit on people whom it does not show"
        )


def _roles(split: Split) -> tuple[Samples, Samples, Samples]:
    return split.train, split.query, split.gallery


def _limited(split: Split, limit: int) -> Split:
    """The first `limit` training and test identities, for a quick look; such a result is not ranked."""
    train = np.unique(split.train.pids)[:limit]
    test = np.unique(split.query.pids)[:limit]
    return attrs.evolve(
        split,
        train=split.train.take(np.isin(split.train.pids, train)),
        query=split.query.take(np.isin(split.query.pids, test)),
        gallery=split.gallery.take(np.isin(split.gallery.pids, test)),
    )


def _without(split: Split, bad: frozenset[str]) -> Split:
    if not bad:
        return split
    train, query, gallery = (rows.take(~np.isin(rows.keys, list(bad))) for rows in _roles(split))
    return attrs.evolve(split, train=train, query=query, gallery=gallery)


def _unreadable(job: Job, keys: NDArray[np.str_], root: Path, run: RunContext, workers: int) -> frozenset[str]:
    """Keys of images that cannot be read; each is named in the log."""

    def check(key: str) -> str | None:
        try:
            read_image(job, key, root)
        except DataError as error:
            return str(error)
        return None

    bad = {}
    with (
        ThreadPoolExecutor(max(1, workers)) as pool,
        run.progress(len(keys), "read images", "image") as bar,
    ):
        for key, fault in zip(keys.tolist(), pool.map(check, keys.tolist()), strict=True):
            bar.advance()
            if fault:
                bad[key] = fault
    for fault in bad.values():
        run.logger.warning("skipped: %s", fault)
    return frozenset(bad)


def _digests(job: Job, keys: NDArray[np.str_], root: Path, run: RunContext) -> dict[str, str]:
    """Content hash by key. Every file is read, so a progress bar shows how far it is."""
    digests: dict[str, str] = {}
    with run.progress(len(keys), "hash images", "image") as bar:
        for start in range(0, len(keys), _HASHED_AT_ONCE):
            some = keys[start : start + _HASHED_AT_ONCE]
            digests.update(zip(some.tolist(), read_digests(job, some, root), strict=True))
            bar.advance(len(some))
    return digests


def _check_leakage(split: Split, digests: Mapping[str, str], where: str) -> None:
    seen = {digests[key] for key in split.train.keys.tolist()}
    asked = np.isin(split.gallery.pids, np.unique(split.query.pids))
    test = [*split.query.keys.tolist(), *split.gallery.keys[asked].tolist()]
    leaked = [key for key in test if digests[key] in seen]
    if leaked:
        raise ComparisonError(
            f"{where}: {len(leaked)} test images are also training images (first: {leaked[0]}); "
            "remove the copies from the training folder"
        )


def _check_tracklets(split: Split, protocol: EvalProtocol, where: str) -> None:
    """Refuse a query that is in a gallery tracklet of another name: it would find itself.

    A tracklet goes by its first image (`Samples.items`), and by that name a query is known in the gallery. Where both
    are of one camera, the same-camera rule keeps them apart.
    """
    if split.query.groups is None and split.gallery.groups is None:
        return
    asked = {key: (first, camera) for key, first, camera in _first_images(split.query)}
    for key, first, camera in _first_images(split.gallery):
        own, seen_by = asked.get(key, (first, camera))
        apart = protocol.scoring.same_camera == "ignore" and UNKNOWN_CAMERA != camera == seen_by
        if own != first and not apart:
            raise DataError(
                f"{where}: the query image {key} is in a gallery tracklet whose first image is {first}, so that it "
                "would find itself; take it out of query or tracklet, or give cameras and keep same_camera=ignore"
            )


def _first_images(rows: Samples) -> Iterator[tuple[str, str, int]]:
    """Each image with the first of its tracklet, and its camera."""
    items, item = rows.items()
    return zip(rows.keys.tolist(), items.keys[item].tolist(), rows.camids.tolist(), strict=True)
