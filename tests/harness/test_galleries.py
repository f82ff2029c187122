"""A gallery for each rate of the queries, for a backbone or for an aligner."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from fakes import ByRate, Hard

from crbench.api.entry import Entry
from crbench.harness.galleries import galleries_by_rate
from crbench.harness.run import run
from crbench.records import Samples, TestFeatures, TestRows
from crbench.registry.discovery import Registered
from crbench.registry.guard import UNKNOWN, Owner

OWNER = Owner(plugin="strangers", distribution="strangers", version="1")


def at_rate(gallery: TestRows, rate: float) -> TestRows:
    return attrs.evolve(gallery, rates=np.full(len(gallery), rate))


@pytest.fixture
def aligner(offer):
    """Offers the aligner ``by-rate``, whose transform asks for galleries; gives its class and what it was shown."""
    seen: list[TestFeatures] = []

    class Transform:
        wanted: Any = staticmethod(at_rate)

        def __call__(self, feats: TestFeatures) -> TestFeatures:
            seen.append(feats)
            return feats

        def gallery_for(self, gallery: TestRows, rate: float) -> Any:
            return self.wanted(gallery, rate)

    class ByRate:
        def fit(self, train: Any, *, run: Any) -> Transform:
            return Transform()

    offer(Registered("aligner", Entry("by-rate", ByRate), OWNER))
    return Transform, seen


def test_an_aligner_gets_the_gallery_at_the_rates_of_the_queries(spec, aligner):
    _, seen = aligner
    none, result, shift = run(spec(aligner=["by-rate", "shift"], trial=0))
    gallery = Hard().split(Hard().protocols["mlr"], 0, root=None).gallery
    compared = [set(feats.rows.rates.tolist()) for feats in seen[-6:]]
    assert compared == [{2}, {2}, {3}, {3}, {4}, {4}], "queries of a rate, and their gallery"
    assert [len(feats) for feats in seen[-5::2]] == [len(gallery)] * 3
    assert result.trials[0].n_query == none.trials[0].n_query
    assert result.timings["extract"].count == none.timings["extract"].count + 3 * len(gallery)
    assert shift.timings["extract"].count == none.timings["extract"].count, "for its own cell only"


def test_it_scores_as_a_backbone_that_asks_for_the_same(spec, aligner, monkeypatch):
    none, by_aligner = run(spec(aligner="by-rate", backbone="learner", trial=0))
    assert by_aligner.trials[0].cmc != none.trials[0].cmc
    monkeypatch.setattr(ByRate, "wanted", staticmethod(at_rate))
    (by_backbone,) = run(spec(backbone="learner-by-rate", trial=0))
    assert by_aligner.trials[0].cmc == by_backbone.trials[0].cmc
    assert by_aligner.trials[0].by_rate == by_backbone.trials[0].by_rate


def test_an_aligner_may_leave_the_gallery_as_it_is(spec, aligner, monkeypatch):
    monkeypatch.setattr(aligner[0], "wanted", staticmethod(lambda gallery, rate: gallery))
    none, result = run(spec(aligner="by-rate", trial=0))
    assert result.trials == none.trials


def test_rows_of_equal_rates_stay_alike():
    """Otherwise a method could give each row a rate of its own, by which its transform knows it again."""
    asked = []

    class Numbering:
        def gallery_for(self, gallery, rate):
            asked.append(gallery)
            return TestRows(rates=1 + np.arange(len(gallery)), native_rates=gallery.native_rates)

    query = Samples(keys=["q"], pids=[1], rates=2)
    gallery = Samples(keys=list("abcd"), pids=[1, 2, 3, 4], rates=[1, 4, 1, 4], native_rates=[1, 1, 1, 4])
    ((_, (found,)),) = galleries_by_rate([(query, (gallery,))], Numbering(), UNKNOWN)
    assert found.rates[0] == found.rates[2]
    assert found.native_rates.tolist() == gallery.native_rates.tolist()
    assert list(zip(asked[0].rates.tolist(), asked[0].native_rates.tolist(), strict=True)) == [(1, 1), (4, 1), (4, 4)]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (lambda gallery, rate: gallery.pids, "AttributeError: test rows have no 'pids'"),
        (lambda gallery, rate: gallery.take(slice(0)), "expected TestRows of 1 rows, got 0 rows"),
        (lambda gallery, rate: [rate], "expected TestRows of 1 rows, got a list"),
        (lambda gallery, rate: (), "expected TestRows of 1 rows, got a tuple"),
        (lambda gallery, rate: at_rate(gallery, 0.5), "ValueError: every rate must be finite and at least 1"),
    ],
)
def test_what_fails_there_fails_its_cells(spec, aligner, monkeypatch, wanted, told):
    monkeypatch.setattr(aligner[0], "wanted", staticmethod(wanted))
    none, failed = run(spec(aligner="by-rate", trial=0))
    assert (none.status, failed.status) == ("ok", "failed")
    assert f"strangers 1 (plugin 'strangers') failed at gallery_for: {told}" in failed.error
    monkeypatch.setattr(ByRate, "wanted", staticmethod(wanted))
    results = run(spec(backbone=["learner-by-rate", "random"], trial=0))
    assert [result.status for result in results] == ["failed", "ok"]
    assert f"failed at gallery_for: {told}" in results[0].error


def test_a_transform_may_compare_with_several_encodings_of_each_image(spec, aligner, monkeypatch):
    """Row i of a view shows the image of row i, so a transform that takes the view scores as on that gallery."""
    wanting, seen = aligner
    monkeypatch.setattr(wanting, "wanted", staticmethod(lambda gallery, rate: (gallery, at_rate(gallery, rate))))

    def second(self, feats: TestFeatures) -> TestFeatures:
        seen.append(feats)
        return feats.views[0] if feats.views else feats

    monkeypatch.setattr(wanting, "__call__", second)
    none, result = run(spec(aligner="by-rate", trial=0))
    gallery = Hard().split(Hard().protocols["mlr"], 0, root=None).gallery
    assert {tuple(view.rows.rates[0] for view in (feats, *feats.views)) for feats in seen if feats.views} == {
        (1, 2),
        (1, 3),
        (1, 4),
    }
    assert result.timings["extract"].count == none.timings["extract"].count + 3 * len(gallery)
    monkeypatch.setattr(wanting, "wanted", staticmethod(at_rate))
    (alone,) = run(spec(aligner="by-rate", trial=0, baseline=False, resume=False))
    assert result.trials[0].cmc == alone.trials[0].cmc
    assert result.trials[0].by_rate == alone.trials[0].by_rate


def test_the_companions_of_an_image_are_looked_at_in_all_its_encodings(spec, aligner, monkeypatch):
    wanting, _ = aligner
    monkeypatch.setattr(wanting, "wanted", staticmethod(lambda gallery, rate: (gallery, at_rate(gallery, rate))))

    def centred(self, feats: TestFeatures) -> TestFeatures:
        return attrs.evolve(feats, x=feats.x - feats.views[0].x.mean(dim=0)) if feats.views else feats

    monkeypatch.setattr(wanting, "__call__", centred)
    (failed,) = run(spec(aligner="by-rate", trial=0, baseline=False))
    assert "what it makes of a row depends on the other rows" in failed.error
