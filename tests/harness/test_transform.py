"""Step 7: what aligners of strangers learn of test rows, and that scores are ours whatever they return."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
import torch
from fakes import Hard

from crbench.api.entry import Entry
from crbench.errors import EvaluationError
from crbench.evaluation import evaluate
from crbench.harness.run import run
from crbench.protocol import EvalProtocol
from crbench.records import NEEDS, Features, Samples, TestFeatures, TestRows, blind_order
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.testing import random_features

OWNER = Owner(plugin="strangers", distribution="strangers", version="1")


class Applied:
    """An aligner whose transform is `function`; the class attribute is replaced by each test."""

    function: ClassVar[Any] = staticmethod(lambda feats: feats)

    def fit(self, train: Any, *, run: Any) -> Any:
        return type(self).function


@pytest.fixture
def stranger(spec, offer, monkeypatch):
    """Runs an aligner with this transform beside ``none``, and gives both results."""

    def both(function, **entry):
        monkeypatch.setattr(Applied, "function", staticmethod(function))
        offer(Registered("aligner", Entry("stranger", Applied, **entry), OWNER))
        return run(spec(aligner="stranger", trial=0))

    return both


def one_hot(pids):
    return torch.nn.functional.one_hot(torch.from_numpy(pids), 64).float()


@pytest.mark.parametrize("column", ["pids", "keys"])
def test_a_transform_that_looks_at_the_persons_fails_alone(stranger, column):
    results = stranger(lambda feats: attrs.evolve(feats, x=one_hot(getattr(feats.rows, column))))
    assert [result.status for result in results] == ["ok", "failed"]
    assert f"AttributeError: test rows have no '{column}': transforms and distances do not learn" in results[1].error


def test_a_transform_that_returns_other_rows_scores_what_its_features_are_worth(stranger):
    def rewrites(feats):
        same = TestRows(np.ones(len(feats)), camids=np.arange(len(feats)))
        return attrs.evolve(feats, rows=same)

    none, rewritten = stranger(rewrites)
    assert rewritten.trials == none.trials
    assert 0 < none.metrics["R1"].mean < 1


def test_rows_of_persons_that_a_transform_makes_up_are_refused(stranger):
    def invents(feats):
        rows = Samples(keys=["same"] * len(feats), pids=np.ones(len(feats), dtype=int))
        return Features(x=feats.x, rows=rows)

    _, failed = stranger(invents)
    assert "failed at transform: it gave a Features; expected TestFeatures, for example attrs.evolve" in failed.error


def test_a_transform_meets_the_rows_in_no_order_of_persons(stranger):
    seen = []

    def remembers(feats):
        seen.append(feats)
        return feats

    none, result = stranger(remembers)
    query = Hard().split(Hard().protocols["mlr"], 0, root=None).query
    order = blind_order(query)
    assert seen[-2].rows.rates.tolist() == query.rates[order].tolist() != query.rates.tolist()
    assert result.trials == none.trials, "what it gives is put back in order"


def test_cameras_are_shown_to_those_that_need_them(stranger):
    seen = []
    stranger(lambda feats: seen.append(feats.rows.camids) or feats, needs=NEEDS)
    assert {-1, 1, 2} >= set(np.concatenate(seen).tolist()) > set()


def test_unknown_needs_are_refused():
    with pytest.raises(ValueError, match=r"entry needs \('pids',\); expected a tuple of 'camids', or \(\)"):
        Entry("curious", Applied, needs=("pids",))


def test_the_order_is_drawn_from_what_is_hidden():
    rows = random_features().rows
    order = blind_order(rows)
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert np.array_equal(order, blind_order(rows.at_rate(3)))
    assert not np.array_equal(order, blind_order(attrs.evolve(rows, pids=rows.pids + 1)))
    assert np.corrcoef(order, np.arange(len(rows)))[0, 1] < 0.5


@pytest.mark.parametrize("engine", ["reference", "torch", "numba"])
@pytest.mark.parametrize("shot", ["multi", "single:exact", "single:mc:3"])
def test_a_distance_of_ones_own_scores_as_the_same_distance_of_ours(engine, shot):
    query, gallery = (random_features(seed=seed, dim=4) for seed in (0, 1))
    protocol = EvalProtocol.of(shot=shot, distance="sqeuclidean", normalise="none")
    ours = evaluate(query, gallery, protocol, engine=engine)
    own = evaluate(query, gallery, protocol, engine=engine, distance=lambda q, g: torch.cdist(q.x, g.x))
    assert own.scores.means == ours.scores.means
    assert np.array_equal(own.per_query.cmc, ours.per_query.cmc)
    assert {rate: part.means for rate, part in own.by_rate.items()} == {
        rate: part.means for rate, part in ours.by_rate.items()
    }


@pytest.mark.parametrize("engine", ["reference", "torch", "numba"])
@pytest.mark.parametrize("shape", [lambda d: 1 + 1e-10 * d, lambda d: 1e300 * d, lambda d: d.numpy().astype(">f8")])
def test_distances_of_float64_are_ranked_as_float64_gives(engine, shape):
    query, gallery = (random_features(seed=seed, dim=4) for seed in (0, 1))
    protocol = EvalProtocol.of(shot="multi", distance="sqeuclidean", normalise="none")
    expected = evaluate(query, gallery, protocol, engine=engine)
    found = evaluate(
        query, gallery, protocol, engine=engine, distance=lambda q, g: shape(torch.cdist(q.x.double(), g.x.double()))
    )
    assert np.array_equal(found.outcomes.ranks.ranks, expected.outcomes.ranks.ranks)
    assert 0 < found.scores.means["mAP"] < 1


def test_equal_distances_of_float64_stay_equal_and_nan_is_named():
    feats = random_features()
    protocol = EvalProtocol.of(shot="multi")
    ties = evaluate(feats, feats, protocol, distance=lambda q, g: torch.full((len(q), len(g)), 1 / 3).double() + 1e-12)
    assert (
        ties.scores.means
        == evaluate(feats, feats, protocol, distance=lambda q, g: torch.ones(len(q), len(g))).scores.means
    )
    with pytest.raises(EvaluationError, match="the distance gives NaN for query row 0"):
        evaluate(feats, feats, protocol, distance=lambda q, g: torch.full((len(q), len(g)), torch.nan).double())


@pytest.mark.parametrize(
    "change", [lambda x: x.sub_(1.0), lambda x: np.copyto(x.numpy(), 1.0), lambda x: x.copy_(x.flip(0))]
)
def test_a_distance_that_changes_the_gallery_is_refused(change):
    feats = random_features()

    def changes(query, gallery):
        found = torch.cdist(query.x, gallery.x)
        change(gallery.x)
        return found

    with pytest.raises(EvaluationError, match="the distance changed the gallery that it was given"):
        evaluate(feats, feats, distance=changes)


def test_a_distance_sees_no_persons_and_the_cameras_only_where_it_needs_them():
    feats, seen = random_features(rates=(2,)), []

    def peeks(query, gallery):
        return torch.from_numpy(query.rows.pids[:, None] != gallery.rows.pids[None, :]).float()

    def remembers(query, gallery):
        seen.append((type(query), query.rows.camids, gallery.rows.camids))
        return torch.cdist(query.x, gallery.x)

    with pytest.raises(AttributeError, match="test rows have no 'pids'"):
        evaluate(feats, feats, distance=peeks)
    evaluate(feats, feats, distance=remembers)
    assert seen == [(TestFeatures, None, None)]
    evaluate(feats, feats, distance=remembers, needs=NEEDS)
    assert sorted(seen[1][1].tolist()) == sorted(feats.rows.camids.tolist())


def centred(feats):
    return attrs.evolve(feats, x=feats.x - feats.x.mean(dim=0))


def in_one_memory(transform):
    """`transform`, whose features are in the same memory whenever it gets so many rows."""
    held: dict[int, torch.Tensor] = {}

    def saves(feats):
        found = transform(feats)
        return attrs.evolve(found, x=held.setdefault(len(feats), torch.empty_like(found.x)).copy_(found.x))

    return saves


def test_a_transform_may_use_the_memory_of_its_features_again(stranger):
    none, saved = stranger(in_one_memory(lambda feats: feats))
    assert saved.trials == none.trials


def test_a_transform_whose_memory_hides_that_it_depends_on_other_rows_is_refused(stranger):
    _, hidden = stranger(in_one_memory(centred))
    assert "what it makes of a row depends on the other rows" in hidden.error


@pytest.mark.parametrize(
    ("transform", "told"),
    [
        (lambda feats: attrs.evolve(feats, x=feats.x.double()), "it gave float64 features; expected float32"),
        (lambda feats: attrs.evolve(feats, x=feats.x.numpy()), "it gave a ndarray; expected a torch tensor"),
        (lambda feats: attrs.evolve(feats, x=feats.x.requires_grad_()), "its features carry gradients"),
        (lambda feats: attrs.evolve(feats, x=feats.x.to("meta")), "its features are on meta; expected them on cpu"),
        (lambda feats: attrs.evolve(feats, x=feats.x * float("nan")), "it gave NaN or infinite features"),
        (
            lambda feats: attrs.evolve(feats, dims=torch.zeros(len(feats), dtype=torch.int64)),
            "not all between 1",
        ),
        (lambda feats: attrs.evolve(feats, dims=torch.ones(len(feats))), "its dims are no int64 tensor of shape"),
        (lambda feats: feats.take(np.arange(1)), "it gave features (1, 16); expected"),
        (centred, "what it makes of a row depends on the other rows"),
        (lambda feats: attrs.evolve(feats, x=feats.x + 0.01 * torch.randn(feats.x.shape)), "or is not the same twice"),
        (lambda feats: attrs.evolve(feats, x=feats.x * random.uniform(1, 2)), "or is not the same twice"),
        (
            lambda feats: attrs.evolve(feats, dims=torch.full((len(feats),), 1 + int(feats.x.sum()) % 16)),
            "what it makes of a row depends on the other rows",
        ),
    ],
)
def test_a_transform_that_breaks_its_contract_fails_its_cell(stranger, transform, told):
    none, failed = stranger(transform)
    assert (none.status, failed.status) == ("ok", "failed")
    assert "strangers 1 (plugin 'strangers') failed at transform: " in failed.error
    assert told in failed.error


def test_a_method_that_says_so_may_look_at_all_rows(stranger):
    none, result = stranger(centred, transductive=True)
    assert (none.status, result.status) == ("ok", "ok")
    assert (none.method.aligner.transductive, result.method.aligner.transductive) == (False, True)


def test_companions_are_others_at_the_same_rates(stranger):
    """So that a method whose products differ in shape by the rows of a rate gives equal bits."""
    seen = []
    stranger(lambda feats: seen.append(feats) or feats)
    before, after = seen[-4:-2]
    assert before.rows.rates.tolist() == after.rows.rates.tolist()
    same = (before.x == after.x).all(dim=1)
    assert 0.4 < float(same.float().mean()) < 0.7


def test_input_that_is_changed_in_place_is_the_transforms_own(stranger):
    def spoils(feats):
        x = feats.x.clone()
        feats.x.zero_()
        return attrs.evolve(feats, x=x)

    none, result = stranger(spoils)
    assert result.trials == none.trials


def test_a_peeking_a_rewriting_a_batch_dependent_and_an_exiting_aligner_beside_a_good_one(spec, offer):
    def exits(feats):
        raise SystemExit("licence expired")

    def rewrites(feats):
        return attrs.evolve(feats, rows=TestRows(np.ones(len(feats)), camids=np.arange(len(feats))))

    transforms = {
        "peeking": lambda feats: attrs.evolve(feats, x=one_hot(feats.rows.pids)),
        "rewriting": rewrites,
        "batch-dependent": centred,
        "exiting": exits,
    }

    @attrs.frozen
    class Fixed:
        name: str

        def fit(self, train: Any, *, run: Any) -> Any:
            return transforms[self.name]

    entries = [Entry(name, lambda name=name: Fixed(name)) for name in transforms]
    offer(*(Registered("aligner", entry, OWNER) for entry in entries))
    alone = {result.method.aligner.name: result for result in run(spec(aligner="ridge"))}
    results = {result.method.aligner.name: result for result in run(spec(aligner=[*transforms, "ridge"], resume=False))}
    assert {name: result.status for name, result in results.items()} == {
        "none": "ok",
        "peeking": "failed",
        "rewriting": "ok",
        "batch-dependent": "failed",
        "exiting": "failed",
        "ridge": "ok",
    }
    assert results["rewriting"].trials == results["none"].trials == alone["none"].trials
    assert results["ridge"].trials == alone["ridge"].trials
    last = {name: (result.error or "").strip().splitlines()[-1:] for name, result in results.items()}
    for name, told in (
        ("peeking", "failed at transform: AttributeError: test rows have no 'pids'"),
        ("batch-dependent", "failed at transform: what it makes of a row depends on the other rows"),
        ("exiting", "failed at transform: SystemExit: licence expired"),
    ):
        assert f"strangers 1 (plugin 'strangers') {told}" in last[name][0]
