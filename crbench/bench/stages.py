"""Each stage as a piece of work that can be called again and again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch

from crbench.api.interfaces import Backbone, Reader, Transform
from crbench.bench import synthetic
from crbench.bench.ceilings import fastest_product
from crbench.bench.fit import fit_pace, repeated
from crbench.bench.plan import BenchSpec
from crbench.bench.records import Scenario
from crbench.bench.repeat import LEAST, Sample, call_seconds, repeat
from crbench.bench.whole import whole_run
from crbench.config.paths import data_root
from crbench.data.degrade import degrade
from crbench.data.preprocess import Preprocess
from crbench.evaluation import evaluate
from crbench.harness.cell import parameter_count
from crbench.harness.costs import count_flops, network_parameters
from crbench.harness.extract.forward import Forward
from crbench.harness.extract.pipeline import Loaded, Pipeline, worker_count
from crbench.harness.source import read_image, read_split
from crbench.protocol.presets import OWN_FEATURES
from crbench.records import Features, Row, Samples, TestFeatures, blind_order
from crbench.registry.guard import UNKNOWN
from crbench.registry.resolve import Resolved
from crbench.results import Extraction

if TYPE_CHECKING:
    from PIL.Image import Image

_BATCHES = {"cpu": (8, 32, 64), "cuda": (32, 64, 128, 256, 512)}
_PRODUCT_ROWS = 1024
_SHORT = {"epochs": 1, "draws": 64}
"""Parameters that shorten the fit before a transform is timed: its speed does not depend on what was learned."""


@attrs.frozen(kw_only=True, eq=False)
class Work:
    """A call and what it works on.

    Attributes:
        flops: floating-point operations of one call; None = torch counts them, 0 = there are none to count.
        least: calls that are timed whatever they cost.
        pace: times the work in another way than by calling it again and again.

    The other fields are those of `crbench.bench.records.Measured`.
    """

    stage: str
    scenario: Scenario
    batch: int
    unit: str
    call: Callable[[], object]
    parameters: int | None = None
    bytes: int | None = None
    flops: int | None = None
    least: int = LEAST
    pace: Callable[[], Sample] | None = None

    def count_flops(self) -> int | None:
        """Floating-point operations of one call; None where there are none to count."""
        return (count_flops(self.call) if self.flops is None else self.flops) or None

    def sample(self, device: str, *, spread: float, budget_s: float) -> Sample:
        """Time it, see `crbench.bench.repeat.repeat`."""
        if self.pace is not None:
            return self.pace()
        return repeat(self.call, device, spread=spread, budget_s=budget_s, least=self.least)


@attrs.frozen(eq=False)
class PrecomputedDistances:
    """A distance that looks f32[q, g] up; the one column of its query features says which row each of them has.

    It is asked for consecutive rows of the matrix, which it gives as they stand.
    """

    distances: torch.Tensor

    def __call__(self, query: TestFeatures, gallery: TestFeatures) -> torch.Tensor:
        del gallery
        start = int(query.x[0, 0])
        return self.distances[start : start + len(query)]


def ranking(query: Features, gallery: Features) -> tuple[Callable[[], object], int]:
    """A call that evaluates given distances, without reading features, and the bytes of those distances."""
    # `evaluate` gives a distance its rows in this order.
    shown = [side.take(blind_order(side.rows)) for side in (query, gallery)]
    given = PrecomputedDistances(-(shown[0].x @ shown[1].x.T))
    return partial(evaluate, _numbered(query), _numbered(gallery), OWN_FEATURES, distance=given), given.distances.nbytes


def _numbered(side: Features) -> Features:
    """The rows of `side` with their places in `blind_order`, exact in float32, as the one column of features."""
    places = np.argsort(blind_order(side.rows)).astype(np.float32)
    return attrs.evolve(side, x=torch.from_numpy(places)[:, None].to(side.x.device))


@attrs.frozen(eq=False)
class Stages:
    """The work of every stage, for a `BenchSpec` and its backbone and aligner."""

    spec: BenchSpec
    device: str
    dim: int
    backbone: Backbone | None
    aligner: Resolved | None

    def work(self, stage: str) -> Iterator[Work]:
        """One piece of work per scenario."""
        make: Callable[[], Iterator[Work]] = getattr(self, f"_{stage}")
        yield from make()

    @property
    def _aligner(self) -> Resolved:
        if self.aligner is None:
            raise ValueError("no aligner")
        return self.aligner

    def _decode(self) -> Iterator[Work]:
        rows, read = self._images()
        preprocess = self.backbone.preprocess if self.backbone else Preprocess()
        for scenario, count, workers in _scenarios((len(rows), worker_count(0)), (1, 1)):
            pipeline = Pipeline(read, preprocess, batch_size=min(64, count), device="cpu", workers=workers)
            some = rows.take(np.arange(count))
            yield Work(
                stage="decode",
                scenario=scenario,
                batch=count,
                unit="images",
                call=partial(_drain, pipeline, some),
            )

    def _images(self) -> tuple[Samples, Reader]:
        if self.spec.dataset is None:
            return synthetic.noise_images(self.spec.samples)
        job = self.spec.job()
        root = data_root(self.spec.data_root)
        rows = read_split(job, 0, root).query
        rows = rows.take(np.arange(min(len(rows), self.spec.samples)))

        def read(row: Row) -> Image:
            stored = read_image(job, row.key, root)
            return degrade(stored.image, row.rate / row.native_rate, job.protocol.images, stored.digest)

        return rows, read

    def _forward(self) -> Iterator[Work]:
        size = self.spec.batch_size or self._best_batch
        for scenario, count in _scenarios((size,), (1,)):
            call, moved = self._forward_call(count)
            yield Work(
                stage="forward",
                scenario=scenario,
                batch=count,
                unit="images",
                call=call,
                parameters=network_parameters(self.backbone, UNKNOWN),
                bytes=moved,
            )

    @cached_property
    def _best_batch(self) -> int:
        """The batch size of the highest throughput, by three calls each."""
        paces = {}
        for size in _BATCHES[self.device.partition(":")[0]]:
            call, _ = self._forward_call(size)
            call()
            paces[size] = size / min(call_seconds(call, self.device) for _ in range(3))
        return max(paces, key=lambda size: paces[size])

    def _forward_call(self, size: int) -> tuple[Callable[[], object], int]:
        if self.backbone is None:
            raise ValueError("no backbone")
        extraction = Extraction(batch_size=size, amp=self.spec.amp, compile=self.spec.compile)  # type: ignore[arg-type]
        forward = Forward(self.backbone, extraction, flip=False, device=self.device)
        height, width = self.backbone.preprocess.size
        images = torch.randint(0, 256, (size, height, width, 3), dtype=torch.uint8).to(self.device)
        rows = synthetic.noise_images(size)[0]
        rows = attrs.evolve(rows, camids=np.zeros(size, dtype=np.int64))
        batch = Loaded(index=np.arange(size), count=size, images=images)
        moved = images.nbytes + 4 * size * self.dim + 4 * (network_parameters(self.backbone, UNKNOWN) or 0)
        return partial(forward, batch, rows), moved

    def _fit(self) -> Iterator[Work]:
        """A fit is stopped when its pace is known, so its operations are not counted."""
        aligner, train = self._aligner.build(), synthetic.training(self.dim, device=self.device)
        yield Work(
            stage="fit",
            scenario="Offline",
            batch=1,
            unit="fits",
            call=partial(aligner.fit, train, run=repeated(self.device)),
            flops=0,
            pace=partial(
                fit_pace, aligner, train, device=self.device, spread=self.spec.spread, budget_s=self.spec.budget_s
            ),
        )

    @cached_property
    def _fitted(self) -> Transform:
        """The aligner after a short fit."""
        aligner = _shortened(self._aligner).build()
        transform: Transform = aligner.fit(
            synthetic.training(self.dim, device=self.device, persons=32), run=repeated(self.device)
        )
        return transform

    def _transform(self) -> Iterator[Work]:
        transform = self._fitted
        parameters = parameter_count(transform, self._aligner.registered.owner)
        for scenario, count in _scenarios((self.spec.samples,), (1,)):
            known = synthetic.clustered(count, 10, self.dim, device=self.device, seed=4, rate=4)
            feats = TestFeatures.of(known, self._aligner.needs)
            moves_nothing = transform(feats).x is feats.x
            yield Work(
                stage="transform",
                scenario=scenario,
                batch=count,
                unit="samples",
                call=partial(transform, feats),
                parameters=parameters,
                bytes=None if moves_nothing else 2 * feats.x.nbytes + 4 * (parameters or 0),
            )

    def _distance(self) -> Iterator[Work]:
        query, gallery = self._query_and_gallery()
        yield self._scored("distance", query, gallery, _product(query, gallery))

    def _ranking(self) -> Iterator[Work]:
        query, gallery = self._query_and_gallery()
        call, moved = ranking(query, gallery)
        yield attrs.evolve(self._scored("ranking", query, gallery, call), flops=0, bytes=moved)

    def _evaluate(self) -> Iterator[Work]:
        query, gallery = self._query_and_gallery()
        for some in (query, query.take(np.arange(1))):
            call = partial(evaluate, some, gallery, OWN_FEATURES, precision=self.spec.precision)
            yield self._scored("evaluate", some, gallery, call)

    def _scored(self, stage: str, query: Features, gallery: Features, call: Callable[[], object]) -> Work:
        return Work(
            stage=stage,
            scenario="SingleStream" if len(query) == 1 else "Offline",
            batch=len(query),
            unit="queries",
            call=call,
            bytes=query.x.nbytes + gallery.x.nbytes,
            flops=2 * len(query) * len(gallery) * self.dim,
        )

    def _query_and_gallery(self) -> tuple[Features, Features]:
        return synthetic.query_and_gallery(self.spec.query, self.spec.gallery, self.dim, device=self.device)

    def _run(self) -> Iterator[Work]:
        yield Work(
            stage="run",
            scenario="Offline",
            batch=1,
            unit="runs",
            call=whole_run(self.spec, self.device),
            flops=0,
            least=3,
        )


def _shortened(method: Resolved) -> Resolved:
    """The method with a short fit, another method in it as well."""
    others = {name: _shortened(other) for name, other in method.others.items()}
    short = {name: min(value, _SHORT[name]) for name, value in method.values.items() if name in _SHORT}
    return attrs.evolve(method, values={**method.values, **others, **short})


def _scenarios(offline: tuple[int, ...], single: tuple[int, ...]) -> tuple[tuple[Any, ...], ...]:
    return ("Offline", *offline), ("SingleStream", *single)


def _drain(pipeline: Pipeline, rows: Samples) -> None:
    deque(pipeline.batches(rows), maxlen=0)


def _product(query: Features, gallery: Features) -> Callable[[], object]:
    """The matrix product alone, in blocks of the size that is the fastest on CPUs; its values are thrown away."""
    multiply = fastest_product(gallery.x.device.type)
    held = torch.empty(min(_PRODUCT_ROWS, len(query)), len(gallery), device=gallery.x.device)

    def product() -> None:
        for start in range(0, len(query), _PRODUCT_ROWS):
            rows = query.x[start : start + _PRODUCT_ROWS]
            multiply(rows, gallery.x, held[: len(rows)])

    return product
