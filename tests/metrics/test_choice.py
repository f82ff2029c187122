"""Which metrics are given, and what is said of one that does not keep to its contract."""

from __future__ import annotations

import numpy as np
import pytest

from crbench.api.metric import Metric
from crbench.errors import ConfigError, PluginError
from crbench.evaluation import Selection, evaluate
from crbench.metrics import choice
from crbench.metrics.registry import METRICS
from crbench.protocol import EvalProtocol
from crbench.records import features_from_arrays
from crbench.registry.discovery import Registered, Registry
from crbench.registry.guard import Owner
from crbench.registry.targets import load_target

OWNER = Owner(plugin="strange", distribution="strange-scores", version="0.3")
OURS = Owner(plugin="metrics", distribution="crbench", version="1")
MULTI = EvalProtocol.of(shot="multi", distance="euclidean", normalise="none")
QUERY = features_from_arrays([[0.0], [5.0], [9.0]], pids=[1, 2, 7], rates=[2, 2, 3])
GALLERY = features_from_arrays([[1.0], [4.0], [4.5], [7.0]], pids=[1, 3, 2, 2])


@pytest.fixture
def offer(monkeypatch):
    """Make these metrics of a plugin known beside ours."""

    def install(*metrics):
        entries = [Registered("metric", metric, OURS) for metric in METRICS]
        entries += [Registered("metric", metric, OWNER) for metric in metrics]
        monkeypatch.setattr(choice, "installed", lambda: Registry(entries=tuple(entries), broken=()))

    return install


def places(ranks, starts, candidates):
    """The place of the first match."""
    first = np.full(len(candidates), np.nan)
    matched = np.diff(starts) > 0
    first[matched] = ranks[starts[:-1][matched]]
    return first


def test_ours_name_formula_and_source_and_can_be_loaded():
    for metric in METRICS:
        assert metric.formula
        assert metric.source
        assert callable(load_target(Registered("metric", metric, OURS)))


def test_the_usual_ones_come_unasked_and_others_on_request(offer):
    offer(Metric("first-place", places, unit="number", higher_is_better=False))
    assert list(evaluate(QUERY, GALLERY, MULTI).scores.means) == ["mAP", "mINP", "first-place"]
    found = evaluate(QUERY, GALLERY, MULTI, metrics=["nDCG"])
    assert list(found.scores.means) == ["mAP", "mINP", "nDCG", "first-place"]
    assert found.scores["first-place"] == 1
    np.testing.assert_array_equal(found.per_query.values["first-place"], [1, 1, np.nan])
    assert found.by_rate[2.0]["first-place"] == 1


def test_the_arrays_are_the_ranks_and_the_valid_images(offer):
    seen = {}

    def keep(ranks, starts, candidates):
        seen.update(ranks=ranks.tolist(), starts=starts.tolist(), candidates=candidates.tolist())
        return np.ones(len(candidates))

    offer(Metric("first-place", keep))
    gallery = features_from_arrays([[1.0], [4.0], [4.5], [7.0], [3.0]], pids=[1, 3, 2, 2, -1], camids=[1, 1, 2, 1, 1])
    query = features_from_arrays([[0.0], [5.0], [9.0]], pids=[1, 2, 7], camids=[2, 2, 1])
    evaluate(query, gallery, MULTI)
    # junk is nobody's; the image of person 2 from the query's own camera is not valid for query 1
    assert seen == {"ranks": [1, 2], "starts": [0, 1, 2, 2], "candidates": [4, 3, 4]}


def test_a_metric_of_the_curve_is_defined_for_a_single_shot_gallery(offer):
    offer(Metric("area-CMC", lambda cmc: cmc.mean(axis=1), needs="cmc"))
    found = evaluate(QUERY, GALLERY, MULTI.changed(shot="single:exact"))
    assert list(found.scores.means) == ["area-CMC"]
    assert set(found.scores.undefined) == {"mAP", "mINP"}
    assert list(evaluate(QUERY, GALLERY, MULTI).scores.means) == ["mAP", "mINP", "area-CMC"]


@pytest.mark.parametrize(
    ("rules", "name", "message"),
    [
        ({"shot": "single:exact"}, "mAP", r"'mAP' is undefined: a single-shot gallery \(shot=single:exact\) shows one"),
        ({"shot": "single:mc:3"}, "nDCG", "ap_gallery=all takes it over all gallery images"),
        ({"shot": "multi"}, "nDGC", r"unknown metric 'nDGC'; did you mean 'nDCG'\?"),
        ({"shot": "multi", "unmatched": "zero"}, "first-place", "counts with 0, which is the best value"),
    ],
)
def test_what_cannot_be_given_is_refused_where_it_is_asked_for(rules, name, message, offer):
    offer(Metric("first-place", places, unit="number", higher_is_better=False))
    with pytest.raises(ConfigError, match=message):
        Selection.of(EvalProtocol.of(**rules), [name])
    assert name not in Selection.of(EvalProtocol.of(**rules)).names


def test_all_gallery_images_define_them_for_single_shot_too():
    protocol = EvalProtocol.of(shot="single:exact", ap_gallery="all")
    rng = np.random.default_rng(0)
    query, gallery = (features_from_arrays(rng.normal(size=(n, 3)), np.arange(n) % 4) for n in (5, 20))
    found = evaluate(query, gallery, protocol, metrics=["nDCG"])
    assert (
        found.scores["nDCG"] == evaluate(query, gallery, EvalProtocol.of(shot="multi"), metrics=["nDCG"]).scores["nDCG"]
    )
    assert found.outcomes.cmc is not None


def test_one_that_cannot_be_imported_harms_those_only_who_ask_for_it(offer, caplog):
    offer(Metric("lost-score", "a_missing_module:score"))
    choice._leave_out.cache_clear()
    assert list(evaluate(QUERY, GALLERY, MULTI).scores.means) == ["mAP", "mINP"]
    evaluate(QUERY, GALLERY, MULTI)
    (note,) = caplog.messages
    assert note.startswith("metric 'lost-score' is left out: strange-scores 0.3 (plugin 'strange') failed at import")
    with pytest.raises(PluginError, match="failed at import"):
        evaluate(QUERY, GALLERY, MULTI, metrics=["lost-score"])


def writes(ranks, starts, candidates):
    """Change what the next metric gets."""
    ranks[:] = 1


def fails(*arrays):
    raise KeyError("oh")


@pytest.mark.parametrize(
    ("function", "unit", "message"),
    [
        (fails, "fraction", "failed at metric 'bad-one': KeyError"),
        (lambda r, s, c: np.ones(len(s)), "fraction", r"shape \(4,\); expected \(3,\), one value for each query"),
        (lambda r, s, c: 0.5, "fraction", r"shape \(\)"),
        (lambda r, s, c: np.array([0.5, np.nan, 0.5]), "fraction", "gives nan for query row 1; expected a fraction"),
        (lambda r, s, c: np.array([0.5, np.inf, 0.5]), "number", "gives inf for query row 1; expected a finite number"),
        (lambda r, s, c: np.array([1.5, 0.1, 0.5]), "fraction", r"gives 1.5 for query row 0; expected a fraction in"),
        (lambda r, s, c: ["a"] * 3, "fraction", "values of dtype <U1; expected real numbers"),
        (lambda r, s, c: np.ones(3) * 1j, "fraction", "values of dtype complex128; expected real numbers"),
        (writes, "fraction", "failed at metric 'bad-one': ValueError: assignment destination is read-only"),
    ],
)
def test_a_metric_that_breaks_its_contract_is_named_with_its_plugin(function, unit, message, offer):
    offer(Metric("bad-one", function, unit=unit))
    with pytest.raises(PluginError, match=rf"^strange-scores 0.3 \(plugin 'strange'\).*{message}"):
        evaluate(QUERY, GALLERY, MULTI)


def test_the_value_of_a_query_without_a_match_is_not_looked_at(offer):
    offer(Metric("good-one", lambda r, s, c: np.array([0.5, 0.5, -9.0])))
    found = evaluate(QUERY, GALLERY, MULTI)
    assert found.scores["good-one"] == 0.5
    assert np.isnan(found.per_query.values["good-one"][2])
    assert evaluate(QUERY, GALLERY, MULTI.changed(unmatched="zero")).scores["good-one"] == pytest.approx(1 / 3)


def test_nobody_takes_the_name_of_ours(offer):
    offer(Metric("mAP", fails))
    assert evaluate(QUERY, GALLERY, MULTI).scores["mAP"] == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)
    with pytest.raises(PluginError, match=r"claimed by crbench 1 .* and strange-scores"):
        evaluate(QUERY, GALLERY, MULTI, metrics=["mAP"])


def test_one_of_another_api_is_left_out_and_refused_by_name(offer):
    offer(Metric("old-one", fails, api=1))
    assert "old-one" not in evaluate(QUERY, GALLERY, MULTI).scores.means
    with pytest.raises(PluginError, match="written for plugin API 1"):
        evaluate(QUERY, GALLERY, MULTI, metrics=["old-one"])


@pytest.mark.parametrize("name", ["", "precision", "R5", "a_b", "x@2", "=A", "Ü-1", 3])
def test_names_that_clash_with_columns_are_refused(name):
    with pytest.raises(ValueError, match="is not one like mAP or first-tier"):
        Metric(name, places)
