"""Figures: what they show is computed as it says, and what is drawn is there, as PNG and SVG."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from analysis.test_thresholds import ranked
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crbench.analysis import plots
from crbench.analysis.distances import pairs_by_rate
from crbench.analysis.figures import histograms, ranked_lists, sizes, style, tsne
from crbench.analysis.offsets import Estimate
from crbench.errors import ConfigError, EvaluationError
from crbench.evaluation import evaluate
from crbench.harness.ranked import RankedTrial
from crbench.harness.trial import TrialData
from crbench.records import Samples, Split


@pytest.fixture
def evaluated() -> RankedTrial:
    one = ranked(people=20)
    ((query, gallery),) = one.compared
    nobody = Samples(keys=np.array([], dtype=str), pids=[])
    split = Split(train=nobody, query=query.rows, gallery=gallery.rows)
    trial = TrialData(index=0, split=split, train_all=nobody, digest_of={}, skipped=0)
    found = evaluate(query, gallery, one.protocol)
    places = [np.arange(len(query))]
    return RankedTrial(trial, one.protocol, found, compared=one.compared, places=places, read=lambda row: None)


def view(people: int = 4, noise: float = 0.1) -> tsne.View:
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(people, 6))
    pids = np.tile(np.repeat(np.arange(people), 3), 3)
    keys = np.tile([f"{pid}_{image}" for pid in range(people) for image in range(3)], 3)
    rates = np.repeat([1.0, 2.0, 4.0], 3 * people)
    return tsne.View(centres[pids] + noise * draw.normal(size=(len(pids), 6)), pids, keys, rates)


def test_places_are_the_same_for_a_seed_and_people_stay_together():
    one = view()
    places = tsne.embedded(one.x, 3)
    assert (places == tsne.embedded(3 * one.x, 3)).all(), "only directions count"
    centres = np.array([places[one.pids == pid].mean(axis=0) for pid in range(4)])
    nearest = np.linalg.norm(places[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == one.pids).mean() > 0.9


def test_the_share_that_is_nearest_to_its_person_leaves_the_same_image_out():
    assert tsne.own_nearest(view(noise=0)) == 1
    alone = view()
    keys = np.array([key if key.startswith("0_") else key.split("_")[0] for key in alone.keys])
    one_image_each = attrs.evolve(alone, keys=keys)
    assert tsne.own_nearest(one_image_each) == pytest.approx(0.25), "only person 0 has another image"


def test_people_are_drawn_by_the_seed():
    pids = np.arange(50).repeat(2)
    first = tsne.drawn_people(pids, 10, 0)
    assert len(first) == 10
    assert (first == tsne.drawn_people(pids[::-1], 10, 0)).all()
    assert (first != tsne.drawn_people(pids, 10, 1)).any()


def test_rank1_of_rates_is_that_of_the_evaluation(evaluated):
    found = sizes.by_rate(evaluated)
    assert [size.label for size in found] == ["x2", "x3"]
    for size in found:
        assert size.rank1.value == pytest.approx(evaluated.evaluation.by_rate[size.at].rank(1))
        assert size.rank1.low < size.rank1.value < size.rank1.high


def test_rank1_of_heights_is_that_of_their_queries(evaluated):
    heights = np.where(evaluated.split.query.rates == 2, 64, np.resize([40, 41, 42, 43], 120))
    small, medium, large = sizes.by_height(evaluated, heights)
    assert [one.label for one in (small, medium, large)] == ["40-41", "42-43", "64"]
    assert [one.queries for one in (small, medium, large)] == [30, 30, 60]
    assert large.rank1.value == pytest.approx(evaluated.evaluation.by_rate[2.0].rank(1))


def test_a_single_size_shows_its_intervals_too():
    """A band between two sizes has no width there, and the legend spoke of bands that nobody saw."""
    one = sizes.Size(64, "32-64", 18, Estimate(0.4, 0.2, 0.7))
    (axes,) = sizes.draw({"none": [one], "ridge": [one]}, "height", rising=False).axes
    bars = [path.vertices for collection in axes.collections for path in collection.get_paths()]
    assert [bar[:, 1].tolist() for bar in bars] == 2 * [pytest.approx([20, 70])]
    assert axes.get_legend().get_title().get_text().startswith("bars: 95 %")


@given(st.lists(st.integers(20, 200), min_size=1, max_size=600))
def test_bins_of_heights_rise_and_hold_enough(heights):
    groups = sizes.height_bins(np.array(heights))
    order = np.argsort(heights, kind="stable")
    assert (np.diff(groups[order]) >= 0).all()
    assert len({*zip(heights, groups.tolist(), strict=True)}) == len({*heights}), "equal heights are in one bin"
    counts = np.bincount(groups)
    assert len(counts) <= 8
    assert (counts >= min(25, len(heights))).all()


def size(at: float, value: float) -> sizes.Size:
    return sizes.Size(at, f"{at:g}", 30, Estimate(value, value, value))


def test_a_method_is_usable_down_to_where_it_falls_below_for_the_first_time():
    found = [size(32, 0.6), size(48, 0.4), size(64, 0.7), size(128, 0.9)]
    assert sizes.usable_down_to(found, 0.5).at == 64
    assert sizes.usable_down_to(found, 0.3).at == 32
    assert sizes.usable_down_to(found, 0.95) is None


def test_a_usable_height_without_an_interval_is_said_without_one():
    one_person = sizes.Size(64, "64", 3, Estimate(1.0, float("nan"), float("nan")))
    assert plots._usable("none", [one_person], 0.5).endswith("where it is 100.0")
    assert plots._usable("none", [size(64, 0.7)], 0.5).endswith("where it is 70.0 [70.0, 70.0]")


def test_the_share_of_pairs_in_order_is_the_area_under_the_curve():
    pairs = pairs_by_rate(ranked(), kept=1.0)[2.0]
    plain = (pairs.true[:, None] < pairs.false).mean()
    assert histograms.nearer(pairs) == pytest.approx(plain, abs=1e-3)
    true, false = histograms.shares(pairs, np.linspace(0, 2, 9))
    assert true.sum() == pytest.approx(1)
    assert false == pytest.approx(np.histogram(pairs.false, np.linspace(0, 2, 9))[0] / len(pairs.false), abs=2e-3)


def test_distances_of_one_person_alone_are_refused_and_a_rate_without_other_people_is_drawn():
    pairs = pairs_by_rate(ranked())[2.0]
    alone = attrs.evolve(pairs, counts=np.zeros_like(pairs.counts))
    with pytest.raises(EvaluationError, match="no pair of two people is compared"):
        histograms.draw({"none": {2.0: alone}}, "cosine")
    figure = histograms.draw({"none": {2.0: pairs, 3.0: alone}}, "cosine")
    assert [axes.texts[0].get_text().rpartition("\n")[2] for axes in figure.axes] == [
        f"{100 * histograms.nearer(pairs):.1f} %",
        "not known",
    ]


def drawings():
    pairs = pairs_by_rate(ranked())
    yield "tsne", lambda: tsne.draw({"none": view(), "ridge": view(noise=0.5)}, 0)
    yield "histograms", lambda: histograms.draw({"none": pairs, "ridge": pairs}, "cosine")
    found = [size(32, 0.2), size(64, 0.8)]
    yield "sizes", lambda: sizes.draw({"none": found, "<ridge> & $x$": found}, "height", rising=False, least=0.5)


@pytest.mark.parametrize("name", [name for name, _ in drawings()])
def test_figures_are_written_as_png_and_svg_and_are_the_same_each_time(tmp_path, name):
    draw = dict(drawings())[name]
    with style.style():
        png, svg = style.write_figure(draw(), tmp_path / "a", name, "of what")
        again = style.write_figure(draw(), tmp_path / "b", name, "of what")
    assert [path.name for path in (png, svg)] == [f"{name}.png", f"{name}.svg"]
    assert len(np.unique(np.asarray(Image.open(png).convert("L")))) > 50, "something is drawn"
    assert "of what" in svg.read_text()
    assert [path.read_bytes() for path in (png, svg)] == [path.read_bytes() for path in again]


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(style, "find_spec", lambda name: None if name == "sklearn" else object())
    with pytest.raises(ConfigError, match=r"figures need sklearn; install them with: pip install 'crbench\[plot\]'"):
        style.check_drawable("sklearn")
    style.check_drawable()


def test_more_ranked_lists_than_a_figure_holds_are_refused(evaluated):
    queries = np.zeros(80, dtype=np.intp)
    with pytest.raises(
        ConfigError, match="80 queries and 3 methods are 240 rows; a figure holds 200: give --queries 66"
    ):
        ranked_lists.draw(dict.fromkeys("abc", evaluated), queries)
