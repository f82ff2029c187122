"""For plugin authors: checks of each interface's contract, and ready-made fakes to test with.

Each ``check_*`` calls `factory`, works on small data and raises `AssertionError` that names the rule that was broken.

Example:
    >>> from crbench_baselines.mean_shift import MeanShift
    >>> check_aligner(MeanShift)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crbench.api.context import RunContext
from crbench.api.interfaces import Aligner, Backbone, Dataset, Distance, Restorable, Trainable, Transform
from crbench.api.pairing import TrainFeatures
from crbench.data.info import DatasetInfo
from crbench.data.preprocess import Preprocess
from crbench.data.splits import Index, draw_split
from crbench.protocol import EvalProtocol
from crbench.records import Batch, Encoded, Features, Samples, Split

if TYPE_CHECKING:
    from PIL.Image import Image

TOLERANCE = 1e-4
"""How far results may differ, relative to the largest value, when rows only share another batch."""


def random_features(
    *, persons: int = 8, images: int = 3, dim: int = 16, rates: Sequence[float] = (1, 2, 3, 4), seed: int = 0
) -> Features:
    """Features in one cluster per person (from 1): f32[len(rates) * persons * images, dim], rate by rate."""
    rows = _people(persons, images)
    x = _clusters(rows, dim, seed)
    return Features(x=torch.cat([x] * len(rates)), rows=Samples.concat([rows.at_rate(rate) for rate in rates]))


def train_features(
    *,
    persons: int = 8,
    images: int = 3,
    dim: int = 16,
    rates: Sequence[float] = (2, 3, 4),
    shift: float = 1.0,
    noise: float = 0.1,
    seed: int = 0,
) -> TrainFeatures:
    """HR features as target; as source the same images at `rates`, each moved by `shift` times 1 - 1/rate.

    The direction of the shift, a vector of length sqrt(dim), is the same for all rates and drawn from `seed`.
    """
    rows = _people(persons, images)
    x = _clusters(rows, dim, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    panning = shift * torch.randn(dim, generator=generator)
    moved = [x + (1 - 1 / rate) * panning + noise * torch.randn(x.shape, generator=generator) for rate in rates]
    source = Features(x=torch.cat(moved), rows=Samples.concat([rows.at_rate(rate) for rate in rates]))
    return TrainFeatures(source=source, target=Features(x=x, rows=rows))


@attrs.frozen
class RandomBackbone:
    """A backbone without weights: the image as 4x4 blocks, projected by a random matrix that `seed` fixes."""

    dim: int = 16
    seed: int = 0
    preprocess: Preprocess = attrs.field(factory=lambda: Preprocess(size=(32, 16)))
    weights: Path | None = None
    device: str = "cpu"

    def extract(self, batch: Batch) -> Encoded:
        """Features f32[b, dim] of ``batch.inputs`` f32[b, 3, height, width]."""
        blocks = torch.nn.functional.adaptive_avg_pool2d(batch.inputs, 4).flatten(1)
        matrix = torch.randn(blocks.shape[1], self.dim, generator=torch.Generator().manual_seed(self.seed))
        return Encoded(x=blocks @ matrix.to(blocks.device))


@attrs.frozen
class TinyDataset:
    """Eight persons, two cameras, two images each, made in memory; four train and four test persons, two trials."""

    info: DatasetInfo = attrs.field(factory=lambda: DatasetInfo(name="tiny", title="eight made-up persons, for tests"))
    protocols: Mapping[str, EvalProtocol] = attrs.field(
        factory=lambda: {"mlr": EvalProtocol(identities="random:4/4", trials=2)}
    )

    def split(self, protocol: EvalProtocol, index: int, *, root: Path) -> Split:
        """Trial `index`; `root` is not used."""
        rows = _people(persons=8, images=4)
        return draw_split(Index(name="tiny", rows=rows, roles=np.full(len(rows), "any")), protocol, index)

    def read(self, key: str, *, root: Path) -> Image:
        """A image of 24x48 pixels: four bands in the person's colours, with noise of its own."""
        import PIL.Image

        person = np.random.default_rng(int(key.split("_")[0])).integers(40, 216, size=(4, 1, 3))
        noise = np.random.default_rng(int(hashlib.sha256(key.encode()).hexdigest()[:8], 16))
        bands = np.repeat(np.repeat(person, 12, axis=0), 24, axis=1)
        return PIL.Image.fromarray((bands + noise.integers(-30, 31, size=bands.shape)).astype(np.uint8))

    def digests(self, keys: NDArray[np.str_], *, root: Path) -> NDArray[np.str_]:
        """SHA-256 of each image's pixels."""
        return np.array([hashlib.sha256(self.read(str(key), root=root).tobytes()).hexdigest() for key in keys])


def tiny_dataset() -> TinyDataset:
    """A `TinyDataset`; each one has the same images and splits."""
    return TinyDataset()


def check_aligner(factory: Callable[[], Aligner], *, train: TrainFeatures | None = None) -> None:
    """Check an aligner on `train` (default: `train_features()`): row order, dtype, finiteness, determinism, domains."""
    train = train_features() if train is None else train
    aligner = factory()
    _require(isinstance(aligner, Aligner), f"{aligner!r} has no method fit(train, *, run)")
    before = [train.source.x.clone(), train.target.x.clone()]
    transform = _fit(aligner, train, global_seed=1)
    _require(isinstance(transform, Transform), f"fit returned {transform!r}, which cannot be called")
    _require(_same(before, [train.source.x, train.target.x]), "fit changed the training features")
    feats = train.source
    result = _check_transform(transform, feats, "training domains")
    again = _fit(factory(), train, global_seed=2)(feats)
    _require(_same([result.x], [again.x]), "two fits with the same run.seed differ; draw from run.seed alone")
    order = np.random.default_rng(0).permutation(len(feats))
    permuted = transform(feats.take(order))
    _require(_close(permuted.x, result.x[order]), "shuffled rows give other features; rows must keep their order")
    rows = feats.rows
    for name, which in (
        ("no rows at all", Features(x=feats.x[:0], rows=rows.take(slice(0, 0)))),
        ("HR rows only", Features(x=train.target.x, rows=train.target.rows)),
        ("one row", feats.take(np.array([0]))),
        ("a rate that was not trained", Features(x=feats.x, rows=rows.at_rate(2.5))),
        ("a modality that was not trained", Features(x=feats.x, rows=attrs.evolve(rows, modality="unseen"))),
    ):
        _check_transform(transform, which, name)
    _check_restore(aligner, transform, feats, result)


def check_backbone(factory: Callable[[], Backbone]) -> None:
    """Check a ready backbone on random inputs of its own size: shape, dtype, finiteness, determinism, order."""
    backbone = factory()
    _require(isinstance(backbone, Backbone), f"{backbone!r} lacks dim, preprocess or extract(batch)")
    _require(isinstance(backbone.preprocess, Preprocess), "preprocess is not a crbench.data.preprocess.Preprocess")
    inputs = torch.randn(4, 3, *backbone.preprocess.size, generator=torch.Generator().manual_seed(0))
    rates, camids = np.array([1, 2, 3, 4], dtype=np.float32), np.array([1, 2, 3, -1])
    before = inputs.clone()
    encoded = backbone.extract(Batch(inputs, rates, camids))
    _check_encoded(encoded, 4, backbone.dim)
    _require(torch.equal(inputs, before), "extract changed its input")
    _require(_same([encoded.x], [backbone.extract(Batch(inputs, rates, camids)).x]), "two extractions differ")
    flipped = backbone.extract(Batch(inputs.flip(0), rates[::-1].copy(), camids[::-1].copy()))
    _require(_close(flipped.x.flip(0), encoded.x), "rows in reverse give other features; rows must keep their order")
    single = backbone.extract(Batch(inputs[:1], rates[:1], camids[:1]))
    _require(_close(single.x, encoded.x[:1]), "a image's feature depends on the others of its batch")
    if isinstance(backbone, Trainable):
        state = backbone.state()
        _require(len(state) > 0 and _all_tensors(state), "state() of a trainable backbone must hold named tensors")


def check_dataset(factory: Callable[[], Dataset], root: Path, *, images: int = 8) -> None:
    """Check a data set: protocols, splits that repeat and are disjoint, and the first `images` of each role."""
    dataset = factory()
    _require(isinstance(dataset, Dataset), f"{dataset!r} lacks info, protocols, split, read or digests")
    _require(isinstance(dataset.info, DatasetInfo), "info is not a crbench.data.info.DatasetInfo")
    _require(len(dataset.protocols) > 0, "protocols is empty")
    for name, protocol in dataset.protocols.items():
        _require(isinstance(protocol, EvalProtocol), f"protocol {name!r} is not an EvalProtocol")
        split = dataset.split(protocol, 0, root=root)
        _require(
            factory().split(protocol, 0, root=root).checksum == split.checksum, f"{name}: two splits of trial 0 differ"
        )
        for role in ("train", "query", "gallery"):
            rows: Samples = getattr(split, role)
            _require(len(rows) > 0, f"{name}: there are no {role} rows")
            _check_images(dataset, rows.take(slice(0, images)), root, f"{name}: {role}")
        found = np.isin(split.query.pids, split.gallery.pids).any()
        _require(bool(found), f"{name}: no query person is in the gallery")


def check_distance(factory: Callable[[], Distance]) -> None:
    """Check a distance on clustered features: shape, dtype, finiteness, determinism, order, and that near is small."""
    distance = factory()
    _require(callable(distance), f"{distance!r} cannot be called")
    query, gallery = random_features(rates=(2,), seed=0), random_features(rates=(1,), seed=0)
    before = [query.x.clone(), gallery.x.clone()]
    distances = torch.as_tensor(distance(query, gallery))
    _require(tuple(distances.shape) == (len(query), len(gallery)), f"distances have shape {tuple(distances.shape)}")
    _require(distances.dtype == torch.float32, f"distances are {distances.dtype}, not float32")
    _require(bool(torch.isfinite(distances).all()), "distances are not finite")
    _require(_same(before, [query.x, gallery.x]), "the distance changed its input")
    _require(_same([distances], [torch.as_tensor(distance(query, gallery))]), "two calls differ")
    backwards = torch.as_tensor(distance(query, gallery.take(np.arange(len(gallery))[::-1].copy())))
    _require(_close(backwards.flip(1), distances), "another order of the gallery gives other distances")
    same = torch.from_numpy(query.rows.pids[:, None] == gallery.rows.pids[None, :]).to(distances.device)
    near, far = float(distances[same].mean()), float(distances[~same].mean())
    _require(near < far, "features of one person are farther apart than those of two; smaller must mean closer")


def _people(persons: int, images: int) -> Samples:
    pids, image = np.divmod(np.arange(persons * images), images)
    keys = [f"{pid}_{i}" for pid, i in zip(pids + 1, image, strict=True)]
    return Samples(keys=keys, pids=pids + 1, camids=1 + image % 2)


def _clusters(rows: Samples, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(int(rows.pids.max()) + 1, dim, generator=generator)
    return centres[torch.tensor(rows.pids)] + 0.2 * torch.randn(len(rows), dim, generator=generator)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _same(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def _close(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and bool((left - right).abs().max() <= TOLERANCE * right.abs().max())


def _all_tensors(state: Mapping[str, object]) -> bool:
    return all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items())


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """Other global random states inside; the ones before are put back."""
    legacy = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(legacy)


def _fit(aligner: Aligner, train: TrainFeatures, *, global_seed: int) -> Transform:
    with _global_seed(global_seed):
        return aligner.fit(train, run=RunContext(seed=0))


def _check_transform(transform: Transform, feats: Features, case: str) -> Features:
    before, rows = feats.x.clone(), feats.rows
    result = transform(feats)
    _require(_same([before], [feats.x]), f"{case}: the transform changed its input")
    _require(isinstance(result, Features), f"{case}: the transform returned {type(result).__name__}, not Features")
    columns = ("keys", "pids", "camids", "rates")
    kept = all(np.array_equal(getattr(result.rows, name), getattr(rows, name)) for name in columns)
    _require(kept, f"{case}: the transform returned other rows, or the rows in another order")
    _require(result.x.dtype == torch.float32, f"{case}: features are {result.x.dtype}, not float32")
    _require(result.x.device == feats.x.device, f"{case}: features moved to {result.x.device}")
    _require(not result.x.requires_grad, f"{case}: features carry gradients; detach them")
    _require(bool(torch.isfinite(result.x).all()), f"{case}: features are not finite")
    return result


def _check_restore(aligner: Aligner, transform: Transform, feats: Features, expected: Features) -> None:
    state = getattr(transform, "state", None)
    if state is None:
        return
    _require(_all_tensors(state()), "state() must map names to tensors")
    if not isinstance(aligner, Restorable):
        raise AssertionError("the transform has state(), but its aligner has no restore(state)")
    restored = aligner.restore({name: tensor.clone() for name, tensor in state().items()})
    _require(_same([restored(feats).x], [expected.x]), "the restored transform gives other features")


def _check_encoded(encoded: Encoded, count: int, dim: int) -> None:
    _require(isinstance(encoded, Encoded), f"extract returned {type(encoded).__name__}, not Encoded")
    x, dims = encoded.x, encoded.dims
    _require(tuple(x.shape) == (count, dim), f"features have shape {tuple(x.shape)}, expected {(count, dim)}")
    _require(x.dtype == torch.float32, f"features are {x.dtype}, not float32")
    _require(not x.requires_grad, "features carry gradients; extract under torch.no_grad()")
    _require(bool(torch.isfinite(x).all()), "features are not finite")
    if dims is not None:
        fits = dims.dtype == torch.int64 and tuple(dims.shape) == (count,) and bool(((dims > 0) & (dims <= dim)).all())
        _require(fits, f"dims must be int64 of shape ({count},) between 1 and {dim}")


def _check_images(dataset: Dataset, rows: Samples, root: Path, case: str) -> None:
    for key in rows.keys:
        image = dataset.read(str(key), root=root)
        _require(image.mode == "RGB", f"{case}: image {key} is {image.mode}, not RGB")
        _require(dataset.read(str(key), root=root) == image, f"{case}: image {key} differs when read again")
    digests, backwards = (dataset.digests(keys, root=root) for keys in (rows.keys, rows.keys[::-1]))
    _require(digests.shape == (len(rows),), f"{case}: digests have shape {digests.shape}, expected ({len(rows)},)")
    _require(bool(np.array_equal(backwards[::-1], digests)), f"{case}: digests do not follow the order of the keys")
