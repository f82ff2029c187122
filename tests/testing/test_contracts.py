"""For each rule a plugin that breaks it and no other: its check alone fails, by a message that says what is wrong."""

from __future__ import annotations

import itertools
import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from crbench.api.pairing import TrainFeatures
from crbench.data.info import DatasetInfo
from crbench.records import Batch, Encoded, Samples, TestFeatures, TestRows
from crbench.testing import (
    RandomBackbone,
    TinyDataset,
    check_aligner,
    check_backbone,
    check_dataset,
    check_distance,
    check_metric,
    checks_for,
)
from crbench.testing.checks import Kind

BASIC = {"interface", "callable-transform", "returns-features", "returns-encoded"}
"""What breaks one of these cannot be asked for the others."""


def caught(kind: Kind, factory: Callable[[], Any], **options: Any) -> dict[str, str]:
    """The message of each check that fails, each run by itself."""
    messages = {}
    for check in checks_for(kind):
        try:
            check(factory, **options)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            messages[check.name] = str(error)
    return messages


def assert_alone(kind: Kind, name: str, message: str, factory: Callable[[], Any], **options: Any) -> None:
    found = caught(kind, factory, **options)
    assert name in found
    assert re.search(message, found[name])
    assert name in BASIC or set(found) == {name}


# Aligners

Map = Callable[[TestFeatures], Any]


@attrs.frozen
class Fitting:
    """An aligner whose transform is what `function` makes of the training features."""

    function: Callable[[TrainFeatures], Any]

    def fit(self, train: TrainFeatures, *, run: Any) -> Any:
        return self.function(train)


def fixed(transform: Any) -> Callable[[], Fitting]:
    return lambda: Fitting(lambda train: transform)


def as_trained(change: Callable[[torch.Tensor], torch.Tensor]) -> Map:
    """Changes features only where all training rows come together, so that no special case sees it."""

    def transform(feats: TestFeatures) -> TestFeatures:
        whole = feats.rows.modality == "rgb" and len(np.unique(feats.rows.rates)) == 3
        return attrs.evolve(feats, x=change(feats.x)) if whole else feats

    return transform


def where(condition: Callable[[TestFeatures], bool]) -> Map:
    """Gives NaN for features of which `condition` holds."""
    return lambda feats: attrs.evolve(feats, x=feats.x * float("nan")) if condition(feats) else feats


def in_place(feats: TestFeatures) -> TestFeatures:
    feats.x[:, :1] += 1
    return feats


def peeks(feats: TestFeatures) -> TestFeatures:
    return attrs.evolve(feats, x=torch.from_numpy(feats.rows.pids).float()[:, None])


def by_place(feats: TestFeatures) -> TestFeatures:
    return attrs.evolve(feats, x=feats.x + torch.arange(len(feats)).float().unsqueeze(1))


def exits(*_: Any) -> Any:
    raise SystemExit("licence expired")


def centres(feats: TestFeatures) -> TestFeatures:
    return attrs.evolve(feats, x=feats.x - feats.x.sum(dim=0) / max(1, len(feats)))


def draws(feats: TestFeatures) -> TestFeatures:
    np.random.rand(1)
    return feats


def takes_threads(feats: TestFeatures) -> TestFeatures:
    torch.set_num_threads(torch.get_num_threads() + 1)
    return feats


def seeds(train: TrainFeatures) -> Map:
    torch.manual_seed(7)
    return lambda feats: feats


def as_directions(feats: TestFeatures) -> TestFeatures:
    return attrs.evolve(feats, x=feats.x / feats.x.norm(dim=1, keepdim=True))


def as_directions_of_gallery(feats: TestFeatures) -> TestFeatures:
    """LR rows are moved away from zero first."""
    moved = torch.from_numpy(feats.rows.rates > 1).float().unsqueeze(1)
    return as_directions(attrs.evolve(feats, x=feats.x + moved))


def standardises(train: TrainFeatures) -> Map:
    if float(train.source.x.std()) == 0:
        raise ValueError("no spread")
    return lambda feats: feats


def shifts(train: TrainFeatures) -> Map:
    gap = train.target.x.mean(dim=0) - train.source.x.mean(dim=0)
    return lambda feats: attrs.evolve(feats, x=feats.x + gap)


def refuses_nothing(feats: TestFeatures) -> TestFeatures:
    if len(feats) == 0:
        raise RuntimeError("max of no rows")
    return feats


def bad_lengths(feats: TestFeatures) -> TestFeatures:
    return attrs.evolve(feats, dims=torch.full((len(feats),), 17))


def doubles(train: TrainFeatures) -> Map:
    train.source.x.mul_(2)
    return lambda feats: feats


def noise(train: TrainFeatures) -> Map:
    offset = torch.randn(1)
    return lambda feats: attrs.evolve(feats, x=feats.x + offset)


class Kept:
    """A transform with a state."""

    def __call__(self, feats: TestFeatures) -> TestFeatures:
        return feats

    def state(self) -> dict[str, Any]:
        return {"bias": torch.zeros(1)}


class Miscounted:
    parameter_count = -1

    def __call__(self, feats: TestFeatures) -> TestFeatures:
        return feats


class Viewing:
    """Asks for two encodings of the gallery, or for something else, and gives longer features where it has them."""

    def __init__(self, wanted: Any = None) -> None:
        self.wanted = wanted

    def gallery_for(self, gallery: TestRows, rate: float) -> Any:
        return (gallery, gallery) if self.wanted is None else self.wanted

    def __call__(self, feats: TestFeatures) -> TestFeatures:
        return attrs.evolve(feats, x=torch.cat([feats.x, *(view.x for view in feats.views)], dim=1))


class Unsure(Fitting):
    """Does not say whether it learns."""

    learns: Any = "perhaps"


class Denies(Fitting):
    """Says that it learns nothing, and moves features by the number of its training rows."""

    learns = False

    def __init__(self) -> None:
        super().__init__(lambda train: lambda feats: attrs.evolve(feats, x=feats.x + len(train.source)))


class Forgetful(Fitting):
    """Restores another transform than the one that was kept."""

    def restore(self, state: Any) -> Map:
        return lambda feats: attrs.evolve(feats, x=feats.x + 1)


@pytest.mark.parametrize(
    ("name", "message", "factory"),
    [
        ("interface", "3 has no method fit", lambda: 3),
        ("callable-transform", "fit returned 3, which cannot be called", fixed(3)),
        ("returns-features", "returned Tensor, not TestFeatures", fixed(lambda feats: feats.x)),
        ("training-features-kept", "fit changed the training features", lambda: Fitting(doubles)),
        ("repeatable-fit", "draw from run.seed alone", lambda: Fitting(noise)),
        ("input-kept", "changed its input", fixed(in_place)),
        ("returns-features", "returned 71 rows for 72", fixed(lambda feats: feats.take(np.arange(len(feats) - 1)))),
        ("returns-features", "test rows have no 'pids'", fixed(peeks)),
        ("returns-features", "must not end the program: SystemExit: licence expired", fixed(exits)),
        ("interface", "must not end the program: SystemExit: licence expired", exits),
        ("dtype", "float64, not float32", fixed(as_trained(torch.Tensor.double))),
        ("no-gradient", "carry gradients", fixed(as_trained(lambda x: x.clone().requires_grad_()))),
        ("finite", "not finite", fixed(as_trained(lambda x: x * float("nan")))),
        ("dims", "dims must be int64 of shape", fixed(bad_lengths)),
        ("permutation", "shuffled rows give other features", fixed(by_place)),
        ("companions", "depends on the other rows", fixed(centres)),
        ("global-state", "the transform sets numpy's random generator", fixed(draws)),
        ("global-state", "the transform sets torch's number of threads to", fixed(takes_threads)),
        ("global-state", "the fit sets torch's seed to 7 for the whole process", lambda: Fitting(seeds)),
        ("zero-features", "features that are all zero: .* not finite", fixed(as_directions)),
        ("zero-features", "HR features that are all zero: .* not finite", fixed(as_directions_of_gallery)),
        (
            "zero-training",
            "features that are all zero: fit raised ValueError: no spread",
            lambda: Fitting(standardises),
        ),
        ("widths", "unequal length: fit raised RuntimeError: .*check_alignable", lambda: Fitting(shifts)),
        ("no-rows", "max of no rows", fixed(refuses_nothing)),
        ("one-row", "one row: features are not finite", fixed(where(lambda feats: len(feats) == 1))),
        ("target-rows", "HR rows only: .* not finite", fixed(where(lambda feats: set(feats.rows.rates) == {1.0}))),
        (
            "unseen-rate",
            "a rate that was not trained: .* not finite",
            fixed(where(lambda feats: set(feats.rows.rates) == {2.5})),
        ),
        (
            "unseen-modality",
            "a modality that was not trained: .* not finite",
            fixed(where(lambda feats: feats.rows.modality == "unseen")),
        ),
        ("gallery-views", r"gallery_for gave 2\.0, not TestRows", fixed(Viewing(2.0))),
        ("gallery-views", "have 32 columns, those of queries 16", fixed(Viewing())),
        ("restored", r"no restore\(state\)", fixed(Kept())),
        ("restored", "restored transform gives other features", lambda: Forgetful(lambda train: Kept())),
        ("parameter-count", "parameter_count is -1", fixed(Miscounted())),
        ("learning", "learns is 'perhaps', not True or False", lambda: Unsure(lambda train: lambda feats: feats)),
        ("learning", "fitted on no row, it gives other features", Denies),
    ],
)
def test_aligners(name: str, message: str, factory: Callable[[], Any]) -> None:
    assert_alone("aligner", name, message, factory)
    with pytest.raises(Exception, match=message):
        check_aligner(factory)


def test_features_that_move_to_another_device_are_named() -> None:
    found = caught("aligner", fixed(as_trained(lambda x: x.to("meta"))))
    assert found["dtype"] == "features moved to meta"


def test_an_aligner_that_keeps_the_contract_passes() -> None:
    assert caught("aligner", fixed(lambda feats: feats)) == {}
    check_aligner(fixed(lambda feats: feats))


# Backbones


@attrs.frozen
class Odd(RandomBackbone):
    change: Callable[[torch.Tensor], torch.Tensor] = attrs.field(default=lambda x: x, kw_only=True)

    def extract(self, batch: Batch) -> Encoded:
        return Encoded(x=self.change(RandomBackbone.extract(self, batch).x))


class Drifting(RandomBackbone):
    calls = 0

    def extract(self, batch: Batch) -> Encoded:
        type(self).calls += 1
        return Encoded(x=RandomBackbone.extract(self, batch).x + 1e-6 * self.calls)


class Eating(RandomBackbone):
    def extract(self, batch: Batch) -> Encoded:
        encoded = RandomBackbone.extract(self, batch)
        batch.inputs.zero_()
        return encoded


class Tensorial(RandomBackbone):
    def extract(self, batch: Batch) -> Any:
        return RandomBackbone.extract(self, batch).x


class Longer(RandomBackbone):
    def extract(self, batch: Batch) -> Encoded:
        x = RandomBackbone.extract(self, batch).x
        return Encoded(x=x, dims=torch.zeros(len(x), dtype=torch.int64))


class Learner(RandomBackbone):
    def train(self, rows: Any, read: Any, *, run: Any) -> RandomBackbone:
        return self

    def state(self) -> dict[str, torch.Tensor]:
        return {}


class Overcounted(RandomBackbone):
    parameter_count = -2


class Reformed(RandomBackbone):
    def for_inference(self) -> RandomBackbone:
        return Odd(change=lambda x: 2 * x)


@attrs.frozen
class Sized:
    size: tuple[int, int] = (32, 16)


def odd(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], Odd]:
    return lambda: Odd(change=change)


def with_luck(x: torch.Tensor) -> torch.Tensor:
    random.random()
    return x


@pytest.mark.parametrize(
    ("name", "message", "factory"),
    [
        ("interface", "lacks dim, preprocess or extract", lambda: 3),
        ("preprocess", "not a crbench.api.Preprocess", lambda: RandomBackbone(preprocess=Sized())),  # type: ignore[arg-type]
        ("returns-encoded", "returned Tensor, not Encoded", Tensorial),
        ("shape", r"shape \(4, 3\), expected \(4, 16\)", odd(lambda x: x[:, :3])),
        ("dtype", "float64, not float32", odd(torch.Tensor.double)),
        ("no-gradient", "carry gradients", odd(lambda x: x.clone().requires_grad_())),
        ("finite", "not finite", odd(lambda x: x * float("inf"))),
        ("dims", "between 1 and 16", Longer),
        ("input-kept", "extract changed its input", Eating),
        ("repeatable", "two extractions differ", Drifting),
        ("permutation", "keep their order", odd(lambda x: x * torch.arange(len(x)).unsqueeze(1))),
        ("permutation", "keep their order", odd(lambda x: torch.cat([x[:1], x[1:].flip(0)]))),
        ("batch-independence", "depends on the others of its batch", odd(lambda x: x - x.mean(dim=0))),
        (
            "flat-images",
            "images of one colour: features are not finite",
            odd(lambda x: x / x.norm(dim=1, keepdim=True)),
        ),
        ("global-state", "extract sets Python's random generator", odd(with_luck)),
        ("state", "must hold named tensors", Learner),
        ("inference-form", "the form for inference gives other features", Reformed),
        ("parameter-count", "parameter_count is -2", Overcounted),
    ],
)
def test_backbones(name: str, message: str, factory: Callable[[], Any]) -> None:
    assert_alone("backbone", name, message, factory)
    with pytest.raises(Exception, match=message):
        check_backbone(factory)


# Data sets


class Grey(TinyDataset):
    def read(self, key: str, *, root: Path) -> Any:
        stored = TinyDataset.read(self, key, root=root)
        return attrs.evolve(stored, image=stored.image.convert("L"))


class Bare(TinyDataset):
    def read(self, key: str, *, root: Path) -> Any:
        return TinyDataset.read(self, key, root=root).image


class Undigested(TinyDataset):
    def read(self, key: str, *, root: Path) -> Any:
        return attrs.evolve(TinyDataset.read(self, key, root=root), digest="another")

    def digests(self, keys: Any, *, root: Path) -> Any:
        return TinyDataset().digests(keys, root=root)


class Noisy(TinyDataset):
    calls = 0

    def read(self, key: str, *, root: Path) -> Any:
        type(self).calls += 1
        stored = TinyDataset.read(self, key, root=root)
        stored.image.putpixel((0, 0), (self.calls % 256, 0, 0))
        return stored

    def digests(self, keys: Any, *, root: Path) -> Any:
        return TinyDataset().digests(keys, root=root)


class Sorted(TinyDataset):
    def digests(self, keys: Any, *, root: Path) -> Any:
        return np.sort(TinyDataset.digests(self, keys, root=root))


class Backwards(TinyDataset):
    def digests(self, keys: Any, *, root: Path) -> Any:
        return TinyDataset.digests(self, keys, root=root)[::-1]


class Silent(TinyDataset):
    def digests(self, keys: Any, *, root: Path) -> Any:
        return None


class Splitless(TinyDataset):
    def split(self, protocol: Any, index: int, *, root: Path) -> Any:
        return None


class Changed(TinyDataset):
    """Changes one role of every split."""

    def change(self, split: Any) -> Any:
        raise NotImplementedError

    def split(self, protocol: Any, index: int, *, root: Path) -> Any:
        return self.change(TinyDataset.split(self, protocol, index, root=root))


class Drifts(Changed):
    calls = 0

    def change(self, split: Any) -> Any:
        type(self).calls += 1
        return attrs.evolve(split, gallery=split.gallery.take(slice(0, len(split.gallery) - self.calls % 2)))


class Quiet(TinyDataset):
    def split(self, protocol: Any, index: int, *, root: Path) -> Any:
        warnings.simplefilter("ignore")
        return TinyDataset.split(self, protocol, index, root=root)


class NoMatches(Changed):
    def change(self, split: Any) -> Any:
        return attrs.evolve(split, gallery=attrs.evolve(split.gallery, pids=split.gallery.pids + 100))


class NoQuery(Changed):
    def change(self, split: Any) -> Any:
        return attrs.evolve(split, query=Samples(keys=[], pids=[]))


INFO = DatasetInfo(name="tiny", title="tiny", counts={"images": 32, "cameras": 2})


class Uncounted(TinyDataset):
    def counts(self, *, root: Path) -> dict[str, int]:
        return {"images": 32}


class Positional(TinyDataset):
    def verify(self, folder: Path) -> None:
        return None


@pytest.mark.parametrize(
    ("name", "message", "factory"),
    [
        ("interface", "lacks info, protocols", lambda: 3),
        ("info", "not a crbench.api.DatasetInfo", lambda: TinyDataset(info="tiny")),  # type: ignore[arg-type]
        ("protocols", "protocols is empty", lambda: TinyDataset(protocols={})),
        ("repeatable-split", "mlr: two splits of trial 0 differ", Drifts),
        ("rows-in-every-role", "mlr: there are no query rows", NoQuery),
        ("queries-have-matches", "mlr: no query person is in the gallery", NoMatches),
        ("rgb", "is L, not RGB", Grey),
        ("repeatable-read", "differs when read again", Noisy),
        ("digests", "digests do not follow the order", Sorted),
        ("digests", "digests do not follow the order", Backwards),
        ("digest-of-what-is-read", "is read with digest another, but digests gives", Undigested),
        ("global-state", "mlr: split sets the filters of warnings", Quiet),
        ("verify-arguments", r"verify\(root=\.\.\., track=\.\.\.\)", Positional),
        ("published-counts", "counts lacks cameras, which info.counts has", lambda: Uncounted(info=INFO)),
    ],
)
def test_datasets(name: str, message: str, factory: Callable[[], Any], tmp_path: Path) -> None:
    assert_alone("dataset", name, message, factory, root=tmp_path)
    with pytest.raises(AssertionError, match=message):
        check_dataset(factory, tmp_path)


def test_an_image_comes_with_its_digest(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"read gives a Image, not a crbench\.api\.StoredImage"):
        check_dataset(Bare, tmp_path)


def test_as_many_images_are_read_as_asked_for(tmp_path: Path) -> None:
    read = []

    class Counting(TinyDataset):
        def read(self, key: str, *, root: Path) -> Any:
            read.append(key)
            return TinyDataset.read(self, key, root=root)

    check_dataset(Counting, tmp_path, images=1)
    assert len(set(read)) == 3


# Distances


def euclidean(query: TestFeatures, gallery: TestFeatures) -> torch.Tensor:
    return torch.cdist(query.x, gallery.x)


def muted(distances: torch.Tensor) -> torch.Tensor:
    np.seterr(all="ignore")
    return distances


@pytest.mark.parametrize(
    ("name", "message", "distance"),
    [
        ("interface", "3 cannot be called", 3),
        ("shape", "have shape", lambda q, g: euclidean(q, g)[:-1]),
        ("dtype", "not float32", lambda q, g: euclidean(q, g).double()),
        ("finite", "not finite", lambda q, g: euclidean(q, g) * float("nan")),
        ("no-gradient", "carry gradients", lambda q, g: euclidean(q, g).requires_grad_()),
        ("zero-features", "all zero are not finite", lambda q, g: euclidean(q, g) / g.x.norm(dim=1)),
        ("global-state", "the distance sets numpy's handling of errors", lambda q, g: muted(euclidean(q, g))),
        ("input-kept", "changed its input", lambda q, g: euclidean(attrs.evolve(q, x=q.x.mul_(2)), g)),
        ("repeatable", "two calls differ", lambda q, g: euclidean(q, g) + 1e-6 * torch.rand(1)),
        ("permutation", "another order of the gallery", lambda q, g: euclidean(q, g) + 0.01 * torch.arange(len(g))),
        (
            "permutation",
            "another order of the queries",
            lambda q, g: euclidean(q, g) + 0.01 * torch.arange(len(q))[:, None],
        ),
        ("companions", "depends on the other rows", lambda q, g: euclidean(q, g) / euclidean(q, g).mean()),
        ("smaller-is-closer", "smaller must mean closer", lambda q, g: -euclidean(q, g)),
    ],
)
def test_distances(name: str, message: str, distance: Any) -> None:
    assert_alone("distance", name, message, lambda: distance)
    with pytest.raises(AssertionError, match=message):
        check_distance(lambda: distance)


@pytest.mark.parametrize(
    ("kind", "name", "message", "factory"),
    [
        ("distance", "shape", "the distance returned NoneType, not an array", lambda: lambda q, g: None),
        ("distance", "shape", r"have shape \(24, 7\), not \(7, 24\)", lambda: lambda q, g: euclidean(q, g).T),
        ("distance", "permutation", "another order of the gallery", lambda: lambda q, g: euclidean(q, g).flip(1)),
        ("distance", "interface", "needs a target that is called without arguments", euclidean),
        ("backbone", "permutation", "keep their order", odd(lambda x: x.flip(0))),
        ("dataset", "repeatable-split", "split gives a NoneType, not a crbench.api.Split", Splitless),
        ("dataset", "rows-in-every-role", "split gives a NoneType, not a crbench.api.Split", Splitless),
        ("dataset", "digests", "digests gives a NoneType, not an array", Silent),
        ("dataset", "digest-of-what-is-read", "digests gives a NoneType, not an array", Silent),
        ("dataset", "protocols", "protocols is a list, not a mapping", lambda: TinyDataset(protocols=[3])),  # type: ignore[arg-type]
        ("dataset", "repeatable-split", "protocols is a list, not a mapping", lambda: TinyDataset(protocols=[3])),  # type: ignore[arg-type]
    ],
)
def test_what_breaks_several_rules_is_named_in_the_words_of_the_contract(
    kind: Kind, name: str, message: str, factory: Callable[[], Any], tmp_path: Path
) -> None:
    assert re.search(message, caught(kind, factory, **({"root": tmp_path} if kind == "dataset" else {}))[name])


def test_a_distance_that_keeps_the_contract_passes() -> None:
    assert caught("distance", lambda: euclidean) == {}
    check_distance(lambda: euclidean)


# Scores


@attrs.frozen
class Score:
    target: Any
    needs: str = "ranks"
    higher_is_better: bool = True
    unit: str = "fraction"


def first_match(ranks: Any, starts: Any, candidates: Any) -> Any:
    """1 / rank of the first match; NaN without any."""
    found = np.full(len(starts) - 1, np.nan)
    some = np.diff(starts) > 0
    found[some] = 1 / ranks[starts[:-1][some]]
    return found


def last_rank(ranks: Any, starts: Any, candidates: Any) -> Any:
    some = np.diff(starts) > 0
    found = np.zeros(len(starts) - 1)
    found[some] = ranks[starts[1:][some] - 1]
    return found


CALLS = itertools.count(1)


def with_noise(ranks: Any, starts: Any, candidates: Any) -> Any:
    """Another value at each call; a drawn one would be the same twice now and then."""
    return first_match(ranks, starts, candidates) * (1 - 1e-15 * next(CALLS))


def eats_ranks(ranks: Any, starts: Any, candidates: Any) -> Any:
    found = first_match(ranks, starts, candidates)
    ranks += 1
    return found


def by_company(ranks: Any, starts: Any, candidates: Any) -> Any:
    return first_match(ranks, starts, candidates) * (0.5 if len(candidates) > 1 else 1.0)


def after_a_draw(ranks: Any, starts: Any, candidates: Any) -> Any:
    np.random.rand(1)
    return first_match(ranks, starts, candidates)


def late_is_unknown(ranks: Any, starts: Any, candidates: Any) -> Any:
    found = first_match(ranks, starts, candidates)
    return np.where(found < 0.04, np.nan, found)


@pytest.mark.parametrize(
    ("name", "message", "score"),
    [
        ("interface", "has no target", 3),
        ("interface", "has no target", Score(first_match, needs="scores")),
        ("shape", r"float32\[7\], expected float64\[7\]", Score(lambda *given: first_match(*given).astype(np.float32))),
        ("defined", r"query \[2\] is not finite, although it has a match", Score(late_is_unknown)),
        ("input-kept", "changed its input", Score(eats_ranks)),
        ("repeatable", "two calls differ", Score(with_noise)),
        ("independence", "query 0 has another value when it is alone", Score(by_company)),
        ("global-state", "the score sets numpy's random generator", Score(after_a_draw)),
        ("fraction", "are no fractions", Score(lambda *given: 2 * first_match(*given))),
        ("direction", "see higher_is_better", Score(last_rank, unit="number")),
        ("direction", "see higher_is_better", Score(lambda cmc: 1 - cmc[:, 0], needs="cmc")),
    ],
)
def test_scores(name: str, message: str, score: Any) -> None:
    assert_alone("metric", name, message, lambda: score)
    with pytest.raises(AssertionError, match=message):
        check_metric(lambda: score)


@pytest.mark.parametrize(
    "score",
    [
        Score(first_match),
        Score(last_rank, higher_is_better=False, unit="number"),
        Score(lambda cmc: cmc[:, 4], needs="cmc"),
    ],
)
def test_scores_that_keep_the_contract_pass(score: Score) -> None:
    assert caught("metric", lambda: score) == {}
    check_metric(lambda: score)


def test_a_score_may_be_named_by_its_place() -> None:
    assert "interface" not in caught("metric", lambda: Score("numpy:average", needs="cmc"))
    assert "interface" in caught("metric", lambda: Score("numpy:no_such_function", needs="cmc"))


# All kinds


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        ("aligner", test_aligners),
        ("backbone", test_backbones),
        ("dataset", test_datasets),
        ("distance", test_distances),
        ("metric", test_scores),
    ],
)
def test_every_check_has_a_plugin_that_breaks_it(kind: Kind, test: Any) -> None:
    (marked,) = (mark for mark in test.pytestmark if mark.name == "parametrize")
    broken = {case[0] for case in marked.args[1]}
    assert broken == {check.name for check in checks_for(kind)}
