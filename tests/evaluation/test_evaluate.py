from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from evaluation.comparing import assert_same
from evaluation.strategies import cases
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench.denormals import are_flushed, flush_denormals
from crbench.errors import EvaluationError
from crbench.evaluation import evaluate, inputs, joined
from crbench.protocol import EvalProtocol
from crbench.records import Features, Samples, features_from_arrays
from crbench.testing import random_features

MULTI = EvalProtocol.of(shot="multi", distance="euclidean", normalise="none")


def line(places, pids, **columns):
    """Features on a line, so that distances can be read off."""
    return features_from_arrays([[float(place)] for place in places], pids, **columns)


def score(query, gallery, engine="torch", **rules):
    return evaluate(query, gallery, MULTI.changed(**rules), engine=engine)


@pytest.fixture(params=["torch", "reference"])
def engine(request):
    return request.param


def curve(*values):
    """f64[50]: the first values, then the last of them."""
    return np.array([*values, *[values[-1]] * (50 - len(values))])


def test_scores_by_hand(engine):
    query = line([0, 10], pids=[1, 2], rates=[2, 4])
    gallery = line([1, 2, 3, 11, 13], pids=[1, 3, 1, 3, 2])
    # query 0 meets 1, 3, 1, 3, 2: hits at 1 and 3; query 1 meets 3, 2, ...: hit at 2
    result = score(query, gallery, engine)
    np.testing.assert_array_equal(result.per_query.cmc, [curve(1), curve(0, 1)])
    np.testing.assert_allclose(result.per_query.values["mAP"], [(1 + 2 / 3) / 2, 1 / 2])
    np.testing.assert_allclose(result.per_query.values["mINP"], [2 / 3, 1 / 2])
    assert (result.scores.rank(1), result.scores.rank(2)) == (0.5, 1.0)
    assert result.scores["mAP"] == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert {rate: s.rank(1) for rate, s in result.by_rate.items()} == {2.0: 1.0, 4.0: 0.0}
    assert result.engine == engine


def test_trapezoid_ap_by_hand(engine):
    gallery = line([1, 2, 3], pids=[1, 3, 1])
    result = score(line([0], pids=[1]), gallery, engine, ap="trapezoid")
    assert result.scores["mAP"] == pytest.approx(((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2) / 2)


def test_ties_by_hand(engine):
    query, gallery = line([0], pids=[1]), line([1, -1, 1, 5], pids=[1, 2, 2, 1])
    worst, best = (score(query, gallery, engine, ties=ties) for ties in ("pessimistic", "optimistic"))
    assert worst.scores["mAP"] == (1 / 3 + 2 / 4) / 2
    assert best.scores["mAP"] == (1 + 2 / 4) / 2


def test_junk_is_dropped_or_counts_as_a_negative(engine):
    query, gallery = line([0], pids=[1]), line([1, 2], pids=[-1, 1])
    assert score(query, gallery, engine).scores.rank(1) == 1
    assert score(query, gallery, engine, junk="keep").scores.rank(1) == 0


def test_own_camera_is_ignored_for_the_own_person_only(engine):
    query = line([0], pids=[1], camids=[1])
    gallery = line([1, 2, 3], pids=[1, 2, 1], camids=[1, 1, 2])
    assert score(query, gallery, engine).scores["mAP"] == 1 / 2
    assert score(query, gallery, engine, same_camera="keep").scores["mAP"] == (1 + 2 / 3) / 2


def test_unknown_cameras_never_match(engine):
    query, gallery = line([0], pids=[1]), line([1], pids=[1])
    assert score(query, gallery, engine).scores.rank(1) == 1


def test_queries_without_match_are_counted_and_left_out(engine):
    query = line([0, 0, 9], pids=[1, 7, 8], rates=[2, 2, 3])
    result = score(query, line([1, 2], pids=[1, 2]), engine)
    assert (result.scores.n_query, result.scores.n_valid) == (3, 1)
    assert result.per_query.valid.tolist() == [True, False, False]
    assert result.scores.rank(1) == 1
    assert list(result.by_rate) == [2.0]
    assert (result.by_rate[2.0].n_query, result.by_rate[2.0].n_valid) == (2, 1)


def test_rates_that_results_name_alike_are_one(engine):
    query = line([0, 10, 10], pids=[1, 1, 1], rates=[2.333333, 2.3333333, 3])
    result = score(query, line([1, 9], pids=[1, 2]), engine)
    assert [f"{rate:g}" for rate in result.by_rate] == ["2.33333", "3"]
    assert [(scores.rank(1), scores.n_valid) for scores in result.by_rate.values()] == [(0.5, 2), (0, 1)]


def test_curve_goes_on_flat_beyond_the_gallery(engine):
    result = score(line([0], pids=[1]), line([2, 1], pids=[1, 2]), engine)
    np.testing.assert_array_equal(result.scores.cmc, curve(0, 1))


def test_single_shot_by_hand(engine):
    query = line([0], pids=[1])
    # person 2 is ahead in one draw of two, person 3 in two of three
    gallery = line([5, 1, 9, 2, 3, 8], pids=[1, 2, 2, 3, 3, 3])
    result = score(query, gallery, engine, shot="single:exact")
    np.testing.assert_allclose(result.scores.cmc, curve(1 / 6, 4 / 6, 1))
    assert set(result.scores.undefined) >= {"mAP", "mINP"}
    assert not {"mAP", "mINP"} & {*result.scores.means, *result.per_query.values}
    with pytest.raises(EvaluationError, match=r"mAP is undefined: a single-shot gallery \(shot=single:exact\)"):
        result.scores["mAP"]


def test_single_shot_takes_the_mean_over_the_own_images(engine):
    gallery = line([1, 3, 2], pids=[1, 1, 2])
    np.testing.assert_allclose(score(line([0], [1]), gallery, engine, shot="single:exact").scores.cmc[:2], [0.5, 1])


@pytest.mark.parametrize("shot", ["single:exact", "single:mc:2"])
def test_distractors_and_kept_junk_are_identities_of_their_own(engine, shot):
    query, gallery = line([0], pids=[5]), line([1, 2, 3, 4], pids=[0, 0, -1, 5])
    np.testing.assert_array_equal(score(query, gallery, engine, shot=shot, junk="keep").scores.cmc, curve(0, 0, 0, 1))
    np.testing.assert_array_equal(score(query, gallery, engine, shot=shot).scores.cmc, curve(0, 0, 1))


def test_pid_0_is_a_person_once_a_query_asks_for_it(engine):
    query, gallery = line([0, 0], pids=[0, 1]), line([1, 2, 3], pids=[0, 0, 1])
    np.testing.assert_array_equal(score(query, gallery, engine, shot="single:exact").per_query.cmc[1, :2], [0, 1])


@pytest.mark.parametrize("shot", ["multi", "single:exact", "single:mc:3"])
def test_perfect_distances_give_one(engine, shot):
    pids = np.arange(12) % 4 + 1
    feats = features_from_arrays(np.eye(4)[pids - 1], pids)
    result = evaluate(feats, feats, EvalProtocol.of(shot=shot), engine=engine)
    assert result.scores.rank(1) == 1
    assert result.scores.means == ({"mAP": 1, "mINP": 1} if shot == "multi" else {})


def test_inp_equals_ap_for_a_single_match():
    rng = np.random.default_rng(2)
    pids = np.arange(50) + 1
    query, gallery = (features_from_arrays(rng.normal(size=(50, 3)), pids) for _ in range(2))
    values = score(query, gallery).per_query.values
    np.testing.assert_array_equal(values["mAP"], values["mINP"])


def test_rows_are_normalised_over_the_prefix(engine):
    # on one column both gallery items have the query's direction; on two, only the second has
    query = features_from_arrays([[1.0, 0.0]], [1], dims=[1])
    gallery = features_from_arrays([[1.0, 9.0], [2.0, 0.0]], [1, 2], dims=[1, 2])
    cosine = {"distance": "cosine", "normalise": "l2", "ties": "optimistic"}
    assert score(query, gallery, engine, **cosine).scores.rank(1) == 1
    whole = attrs.evolve(query, dims=None), attrs.evolve(gallery, dims=None)
    assert score(*whole, engine, **cosine).scores.rank(1) == 0


def test_cosine_is_of_the_angle_whatever_normalise_says(engine):
    query, gallery = features_from_arrays([[1.0, 0.0]], [1]), features_from_arrays([[1.0, 0.0], [50.0, 50.0]], [1, 2])
    assert score(query, gallery, engine, distance="cosine").scores.rank(1) == 1


def test_input_is_left_alone():
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    kept = x.copy()
    feats = features_from_arrays(x, np.arange(9) % 3 + 1)
    score(feats, feats)
    np.testing.assert_array_equal(x, kept)


def test_scores_of_a_mask():
    found = score(line([0, 10], pids=[1, 2]), line([1, 9, 11], pids=[1, 3, 2])).per_query
    assert found.scores(np.array([True, False]))["mAP"] == 1
    with pytest.raises(EvaluationError, match="none of the 0 chosen queries"):
        found.scores(np.array([False, False]))


@pytest.mark.parametrize("k", [0, 51])
def test_rank_outside_the_curve_is_refused(k):
    with pytest.raises(ValueError, match="ranks 1 to 50"):
        score(line([0], [1]), line([1], [1])).scores.rank(k)


def _features(x, **columns):
    x = np.asarray(x, dtype=columns.pop("dtype", np.float32))
    count = len(x)
    dims = columns.pop("dims", None)
    rows = Samples(keys=[f"key {i}" for i in range(count)], **({"pids": np.ones(count, dtype=int)} | columns))
    return Features(x=x, rows=rows, dims=dims)


GOOD = _features([[1, 2], [3, 4]])

BAD_INPUT = {
    "nan": (_features([[1, 2], [np.nan, 1]]), GOOD, {}, r"query row 1 \(key 1\) holds NaN or infinite"),
    "inf": (GOOD, _features([[np.inf, 2]]), {}, r"gallery row 0 \(key 0\) holds NaN or infinite"),
    "float64 too large": (GOOD, _features([[1e300, 2]], dtype=np.float64), {}, "gallery row 0 .* infinite"),
    "columns": (GOOD, _features([[1, 2, 3]]), {}, "query features have 2 columns, gallery features 3"),
    "no columns": (_features(np.ones((1, 0))), _features(np.ones((1, 0))), {}, "features have 0 columns"),
    "no query": (_features(np.ones((0, 2))), GOOD, {}, "the query is empty"),
    "no gallery": (GOOD, _features(np.ones((0, 2))), {}, "the gallery is empty"),
    "strangers": (GOOD, _features([[1, 2]], pids=[4]), {}, "no person in common .query pids 1, gallery pids 4"),
    "only itself": (
        _features([[1, 2]]),
        _features([[1, 2]]),
        {},
        r"all pairs of one person \(1\) are a query and the same image in the gallery",
    ),
    "one camera": (
        _features([[1, 2]], camids=0, named=False),
        _features([[1, 2]], camids=0),
        {},
        r"same-camera rule removes all pairs of one person \(1\).*same_camera=keep",
    ),
    "query pid": (_features([[1, 2]], pids=[-1]), GOOD, {}, "query row 0 has pid -1; expected 0 or more"),
    "gallery pid": (GOOD, _features([[1, 2]], pids=[-2]), {}, "gallery row 0 has pid -2; expected -1 or more"),
    "dims 0": (_features([[1, 2]], dims=np.array([0])), GOOD, {}, "query row 0 has dims 0; expected 1 to 2"),
    "dims 3": (GOOD, _features([[1, 2]], dims=np.array([3])), {}, "gallery row 0 has dims 3; expected 1 to 2"),
    "dims dtype": (GOOD, _features([[1, 2]], dims=np.array([1.0])), {}, "gallery dims are float64; expected integers"),
    "zero": (_features([[0, 0]]), GOOD, {}, r"query row 0 \(key 0\) is zero in its first 2 columns"),
    "zero in the prefix": (
        _features([[1, 2]], dims=np.array([1])),
        _features([[0, 2]]),
        {},
        "gallery row 0 .* is zero in its first 1 columns",
    ),
    "integers": (GOOD, _features([[1, 2]], dtype=np.int64), {}, "features are int64; expected floating-point"),
    "distance": (
        GOOD,
        GOOD,
        {"protocol": EvalProtocol.of(distance="cosin")},
        "unknown distance 'cosin'; known: cosine",
    ),
    "engine": (GOOD, GOOD, {"engine": "cuda"}, "unknown engine 'cuda'; known: auto, reference, numba, cupy, torch"),
    "distance shape": (GOOD, GOOD, {"distance": lambda q, g: np.ones((1, 2))}, r"shape \(1, 2\); expected \(2, 2\)"),
    "distance nan": (GOOD, GOOD, {"distance": lambda q, g: np.full((2, 2), np.nan)}, "NaN for query row 0"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_clear_line(name):
    query, gallery, options, message = BAD_INPUT[name]
    with pytest.raises(EvaluationError, match=message) as caught:
        evaluate(query, gallery, **options)
    assert "\n" not in str(caught.value)


def test_zero_rows_have_a_euclidean_distance(engine):
    assert score(line([0], [1]), line([0, 1], [1, 2]), engine).scores.rank(1) == 1


def test_metric_replaces_an_unknown_distance(engine):
    protocol = EvalProtocol.of(distance="my-distance", shot="multi")
    query, gallery = line([0], [1]), line([5, 1], [1, 2])
    farthest_first = evaluate(query, gallery, protocol, engine=engine, distance=lambda q, g: -(q.x - g.x.T).abs())
    assert farthest_first.scores.rank(1) == 1


def test_sysu_mm01_queries_of_camera_3_do_not_meet_camera_2(engine):
    query = line([0, 0], pids=[1, 1], camids=[3, 6])
    gallery = line([1, 2, 3, 4], pids=[2, 1, 3, 1], camids=[2, 2, 1, 1])
    # camera 3 meets persons 3, 1; camera 6 meets 2, 1, 3, 1
    result = score(query, gallery, engine, ignored_cameras="3:2")
    assert result.per_query.values["mAP"].tolist() == [1 / 2, (1 / 2 + 2 / 4) / 2]
    single = score(query, gallery, engine, ignored_cameras="3:2", shot="single:exact")
    np.testing.assert_allclose(single.per_query.cmc[:, :2], [[0, 1], [0, 0.5]])


def test_camera_rules_that_leave_no_match_are_named():
    query, gallery = line([0], pids=[1], camids=[3]), line([1], pids=[1], camids=[2])
    with pytest.raises(
        EvaluationError, match=r"same_camera=ignore, ignored_cameras=3:2\) remove all pairs of one person \(1\)"
    ):
        score(query, gallery, ignored_cameras="3:2")


class Foreign:
    """An array of another library, e.g. CuPy, which speaks DLPack and nothing else."""

    def __init__(self, array):
        self._array = array
        self.shape = array.shape

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def read_only(x):
    x.setflags(write=False)
    return x


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.astype(np.float16),
        lambda x: x.astype(np.float64),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1].copy()[::-1],
        read_only,
        torch.from_numpy,
        lambda x: torch.from_numpy(x).half(),
        lambda x: torch.from_numpy(x.T.copy()).T,
        Foreign,
    ],
)
def test_arrays_of_any_library_type_and_layout_give_the_same(convert, engine):
    rng = np.random.default_rng(0)
    x = [rng.integers(-9, 10, (count, 5)).astype(np.float32) + 0.5 for count in (7, 25)]  # exact in half precision
    rows = [Samples(keys=[str(i) for i in range(len(part))], pids=np.arange(len(part)) % 4) for part in x]
    query, gallery = (Features(x=convert(part.copy()), rows=own) for part, own in zip(x, rows, strict=True))
    expected = score(*(Features(x=part, rows=own) for part, own in zip(x, rows, strict=True)), engine)
    np.testing.assert_array_equal(
        score(query, gallery, engine).per_query.values["mAP"], expected.per_query.values["mAP"]
    )


@pytest.mark.parametrize("shot", ["multi", "single:exact", "single:mc:3"])
def test_ids_beyond_32_bits_are_people_like_others(shot, engine):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    pids = np.arange(40) % 7

    def scored(shift):
        ids, cameras = np.where(pids, pids + shift, 0), np.arange(40) % 3 + shift
        sides = [features_from_arrays(x[half], ids[half], camids=cameras[half]) for half in (slice(1, 7), slice(7, 40))]
        return score(*sides, engine, shot=shot).per_query.cmc

    for shift in (2**31 - 3, 2**32, 2**62):
        np.testing.assert_array_equal(scored(shift), scored(0))


def test_more_rows_than_32_bits_can_count_are_refused(monkeypatch):
    monkeypatch.setattr(inputs, "MAX_ROWS", 2)
    with pytest.raises(EvaluationError, match="the gallery has 3 rows; expected at most 2"):
        score(line([0], [1]), line([1, 2, 3], [1, 1, 2]))


def test_parts_of_the_queries_join_to_the_whole():
    query = random_features(persons=6, images=2, rates=(2, 3, 4), seed=1)
    gallery = random_features(persons=6, images=3, rates=(1,), seed=2)
    whole = evaluate(query, gallery, EvalProtocol.of(shot="multi"))
    rows = [np.flatnonzero(mask) for _, mask in query.rows.domains()]
    parts = [evaluate(query.take(some), gallery, EvalProtocol.of(shot="multi")) for some in rows]
    together = joined(parts, rows, query.rows, EvalProtocol.of(shot="multi"))
    assert together.scores["mAP"] == whole.scores["mAP"]
    assert np.array_equal(together.scores.cmc, whole.scores.cmc)
    assert {rate: scores.rank(1) for rate, scores in together.by_rate.items()} == {
        rate: scores.rank(1) for rate, scores in whole.by_rate.items()
    }
    assert list(together.by_rate) == list(whole.by_rate)
    assert np.array_equal(together.per_query.cmc, whole.per_query.cmc), "in the order of the queries"
    for name in ("ranks", "starts", "candidates"):
        assert np.array_equal(getattr(together.outcomes.ranks, name), getattr(whole.outcomes.ranks, name))
    assert joined(parts[:1], rows[:1], query.rows.take(rows[0]), EvalProtocol.of(shot="multi")) is parts[0]


@settings(max_examples=30)
@given(cases(), st.integers(51, 60))
def test_curves_that_are_cut_are_those_of_a_shorter_evaluation(case, length):
    found = evaluate(case.query, case.gallery, case.protocol, curve=length)
    assert found.scores.cmc.shape == (length,)
    expected = evaluate(case.query, case.gallery, case.protocol)
    assert_same(found.with_curves(50, case.query.rows, case.protocol), expected)


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot flush denormals")
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_scores_are_exact_where_the_caller_flushes_denormal_numbers(distance):
    """Features of 1e-37 have denormal differences; a notebook may flush them for its own training."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(40, 16))
    sides = [
        features_from_arrays((1e-37 * (people + rng.normal(size=people.shape))).astype(np.float32), pids=np.arange(40))
        for _ in range(2)
    ]
    protocol = EvalProtocol.of(shot="multi", distance=distance)
    expected = evaluate(*sides, protocol)
    flush_denormals(True)
    try:
        found = evaluate(*sides, protocol)
        assert are_flushed()
    finally:
        flush_denormals(False)
    assert np.array_equal(found.scores.cmc, expected.scores.cmc)
    assert found.scores["mAP"] == expected.scores["mAP"]
