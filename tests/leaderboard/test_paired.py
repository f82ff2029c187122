"""Rows compared over the people of their queries, by the outcomes beside results."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest

from crbench.errors import DataError
from crbench.evaluation.outcomes import Outcomes, Ranks
from crbench.evaluation.scores import Evaluation
from crbench.evaluation.selection import Selection
from crbench.leaderboard import paired
from crbench.leaderboard.board import Block
from crbench.leaderboard.build import build
from crbench.leaderboard.choice import Choice
from crbench.leaderboard.compare import compare
from crbench.leaderboard.sides import one_row
from crbench.protocol import EvalProtocol
from crbench.records import Samples
from crbench.report import FORMATS, render
from crbench.results import Method, Result, TrialScores, load_results, to_json
from crbench.results.folder import write_result
from crbench.results.outcomes import TrialOutcomes, scores_of
from crbench.statistics import TrialQueries, aligned, differences, intervals, read_queries

Make = Callable[..., Result]
Keep = Callable[..., Result]
PEOPLE, QUERIES = 30, 2


def _trial(
    index: int, hits: Sequence[int], protocol: EvalProtocol, digit: str, people: int, moved: int
) -> tuple[TrialScores, TrialOutcomes, TrialQueries]:
    """A trial of people with two queries each, at rates 2 and 4; `hits` are queries whose match is the nearest."""
    count = people * QUERIES
    rows = Samples(
        keys=[f"{query:03d}.png" for query in range(count)],
        pids=np.arange(count) // QUERIES + moved,
        camids=np.ones(count, dtype=np.int64),
        rates=np.where(np.arange(count) % QUERIES, 4.0, 2.0),
    )
    ranks = np.where(np.isin(np.arange(count), hits), 1, 7)
    outcomes = Outcomes(Ranks(ranks, np.arange(count + 1), np.full(count, 40)), None)
    found = Evaluation.of(
        rows, outcomes, protocol, Selection.of(protocol, ("mAP",)), engine="", precision="", ambiguous=0
    )
    facts = {"split": f"{index + 1:064x}", "data": "d" * 12, "weights_sha256": digit * 64, "training": "e" * 12}
    scores = TrialScores(index=index, n_gallery=40, n_persons=people, **facts, **scores_of(found))
    return scores, TrialOutcomes(index, rows, outcomes), TrialQueries.of(index, rows, found.per_query)


@pytest.fixture
def keep(make: Make, tmp_path: Path) -> Keep:
    """What writes a result with outcomes and reads it again."""
    cells = itertools.count()

    def kept(
        aligner: str,
        *trials: Sequence[int],
        first: int = 0,
        seed: int = 0,
        outcomes: bool = True,
        weights: str = "a",
        people: int = PEOPLE,
        moved: int = 0,
    ) -> Result:
        protocol = EvalProtocol.of(shot="multi", trials=3)
        made = [_trial(first + place, hits, protocol, weights, people, moved) for place, hits in enumerate(trials)]
        base = make(aligner, (0.5, 0.5, 0.5), shot="multi")
        backbone = attrs.evolve(base.method.backbone, trained=True)
        scores = tuple(one for one, _, _ in made)
        facts = {name: one for name, one in base.metric_facts.items() if name in scores[0].scores}
        own = {field.name: getattr(base, field.name) for field in attrs.fields(Result) if field.init}
        for name in ("metrics", "by_rate", "content_sha256"):
            del own[name]
        cell = f"{next(cells):012x}"
        result = Result(
            **{
                **own,
                "cell_id": cell,
                "trials": scores,
                "metric_facts": facts,
                "seed": seed,
                "intervals": intervals([one for _, _, one in made]),
                "method": Method(backbone, base.method.aligner),
            }
        )
        write_result(tmp_path, result, [one for _, one, _ in made] if outcomes else ())
        return next(one for one in load_results([tmp_path]) if one.cell_id == cell)

    return kept


GOOD, SAME, BAD = range(50), [*range(48), 55], range(12)
"""Queries that are found: two rows that differ in one person, and one that is far worse."""


@pytest.fixture
def three(keep: Keep) -> list[Result]:
    """Three methods over two trials."""
    return [
        keep("ridge", GOOD, GOOD),
        keep("coral", SAME, GOOD),
        keep("none", BAD, BAD),
    ]


def _block(results: Sequence[Result], **options: object) -> Block:
    (block,) = build(results, compare=True, **options).blocks
    return block


def test_rows_have_the_places_that_the_data_do_not_rule_out(three: list[Result]) -> None:
    block = _block(three)
    assert [(row.aligner, row.places, row.like_best) for row in block.rows] == [
        ("ridge", (1, 2), False),
        ("coral", (1, 2), True),
        ("none", (3, 3), False),
    ]
    assert block.people == PEOPLE


def test_what_a_block_says_is_what_the_statistics_say(three: list[Result]) -> None:
    block = _block(three)
    expected = differences(aligned([read_queries(one) for one in three]), "R1")
    assert block.resolution == expected.resolution
    pairs = {(pair.first, pair.second): pair for pair in block.pairs}
    assert list(pairs) == [("ridge", "coral"), ("ridge", "none"), ("coral", "none")]
    pair = pairs["coral", "none"]
    assert (pair.difference.low, pair.difference.high) == (expected.low[1, 2], expected.high[1, 2])
    assert (pair.p, pair.p_holm) == (expected.p[1, 2], expected.holm[1, 2])
    gain = block.rows[1].gain
    assert gain is not None
    assert (gain.low, gain.high) == (expected.low[1, 2], expected.high[1, 2])
    assert gain.mean == pytest.approx(pair.difference.mean)


def test_a_row_without_outcomes_may_stand_anywhere(keep: Keep, three: list[Result]) -> None:
    other = keep("diagonal", range(30), range(30), outcomes=False)
    block = _block([*three, other])
    assert {row.aligner: row.places for row in block.rows} == {
        "ridge": (1, 3),
        "coral": (1, 3),
        "diagonal": None,
        "none": (3, 4),
    }
    (note,) = block.notes
    assert note.startswith("not compared with the other rows: resnet-tiny + diagonal: ")
    assert "it kept no outcomes" in note


def test_no_row_is_like_one_that_was_not_compared(keep: Keep, three: list[Result]) -> None:
    block = _block([*three, keep("diagonal", range(55), range(55), outcomes=False)])
    assert [(row.aligner, row.like_best) for row in block.rows] == [
        ("diagonal", None),
        ("ridge", None),
        ("coral", None),
        ("none", None),
    ]


def test_equal_rows_resolve_nothing(keep: Keep) -> None:
    block = _block([keep("ridge", GOOD, GOOD), keep("coral", GOOD, GOOD)])
    assert block.resolution is None
    assert [row.like_best for row in block.rows] == [False, True]


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"PK"), lambda file: file.unlink()])
def test_damaged_outcomes_leave_their_row_out(three: list[Result], damage: Callable[[Path], None]) -> None:
    assert three[0].origin is not None
    damage(Path(three[0].origin).with_suffix(".npz"))
    block = _block(three)
    assert [row.places for row in block.rows] == [None, (1, 2), (2, 3)]
    assert "resnet-tiny + ridge" in block.notes[0]
    assert block.rows[0].scores["R1"].mean == pytest.approx(50 / 60)


def _raised(result: Result, to: float) -> Result:
    """The same file with higher scores, sealed again; its outcomes stay."""
    trials = [attrs.evolve(trial, cmc=(to,) * len(trial.cmc), scores={"mAP": to}) for trial in result.trials]
    own = {field.name: getattr(result, field.name) for field in attrs.fields(Result) if field.init}
    for name in ("metrics", "by_rate", "content_sha256", "intervals"):
        del own[name]
    assert result.origin is not None
    Path(result.origin).write_text(to_json(Result(**{**own, "trials": tuple(trials)})))
    (read,) = load_results([result.origin])
    return read


def test_scores_that_do_not_follow_from_outcomes_have_no_place(three: list[Result]) -> None:
    ridge, coral, none = three
    raised = _raised(coral, 0.99)
    block = _block([ridge, raised, none])
    assert [(row.aligner, row.rank, row.places) for row in block.rows] == [
        ("ridge", 1, (1, 1)),
        ("none", 2, (2, 2)),
        ("coral", None, None),
    ]
    assert (block.rows[2].gain, block.rows[2].marks) == (None, {})
    (note,) = block.notes
    assert f"resnet-tiny + coral: {raised.origin}: the scores of trial 0" in note
    assert "do not follow from its outcomes" in note
    assert "`crbench verify` says more" in note
    assert "coral (conflict)" in render([ridge, raised, none])


@pytest.mark.parametrize("aligners", [(), ("ridge",)])
def test_no_row_has_a_gain_over_scores_that_do_not_follow(three: list[Result], aligners: tuple[str, ...]) -> None:
    ridge, _, none = three
    row = _block([ridge, _raised(none, 0.1)], choice=Choice(aligners=aligners)).rows[0]
    assert (row.aligner, row.rank, row.gain) == ("ridge", 1, None)


def test_compare_refuses_scores_that_do_not_follow_from_outcomes(three: list[Result]) -> None:
    rows = [one_row([one], "file") for one in (three[0], _raised(three[1], 0.99))]
    with pytest.raises(DataError, match="do not follow from its outcomes"):
        compare(rows[0], rows[1])


def test_trials_that_were_run_apart_have_the_interval_of_one_run(keep: Keep) -> None:
    apart = [keep("ridge", GOOD), keep("ridge", SAME, BAD, first=1)]
    whole = keep("coral", GOOD, SAME, BAD)
    block = _block([*apart, whole])
    ridge = next(row for row in block.rows if row.aligner == "ridge")
    expected = intervals(read_queries(whole))
    assert expected is not None
    score = ridge.scores["R1"]
    assert (score.low, score.high) == (expected.metrics["R1"].low, expected.metrics["R1"].high)
    assert (ridge.scores["mAP"].low, ridge.scores["R1@4"].high) == (
        expected.metrics["mAP"].low,
        expected.by_rate["4"]["R1"].high,
    )


def test_the_interval_of_several_trainings_is_over_people_with_all_their_queries(keep: Keep) -> None:
    """As if each training were further trials over the same people."""
    trainings = [keep("ridge", GOOD, SAME, seed=1, weights="1"), keep("ridge", BAD, BAD, seed=2, weights="2")]
    (row,) = _block(trainings).rows
    both = [read_queries(one) for one in trainings]
    trials = [attrs.evolve(trial, index=place) for place, trial in enumerate(both[0] + both[1])]
    expected = intervals(trials)
    assert expected is not None
    score = row.scores["R1"]
    assert score.low == pytest.approx(expected.metrics["R1"].low, abs=1e-5)
    assert score.high == pytest.approx(expected.metrics["R1"].high, abs=1e-5)
    assert score.between is not None


def test_trainings_are_compared_by_their_means(keep: Keep) -> None:
    results = [
        keep(aligner, hits, hits, seed=seed, weights=str(seed))
        for seed in (1, 2)
        for aligner, hits in (("none", BAD), ("ridge", GOOD if seed == 1 else SAME))
    ]
    block = _block(results)
    assert [(row.aligner, len(row.trainings), row.places) for row in block.rows] == [
        ("ridge", 2, (1, 1)),
        ("none", 2, (2, 2)),
    ]
    gain = block.rows[0].gain
    assert gain is not None
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < gain.mean < gain.high


def test_rows_are_compared_over_the_queries_that_all_have(keep: Keep, three: list[Result]) -> None:
    block = _block([*three, keep("diagonal", range(30), range(30), people=PEOPLE - 5)])
    assert block.people == PEOPLE - 5
    assert block.notes == ("Rows are compared over the 100 queries of all trials that every row has, of up to 120.",)
    assert block.rows[0].places == (1, 2)


def test_rows_whose_queries_show_other_people_are_not_compared(keep: Keep, three: list[Result]) -> None:
    block = _block([*three, keep("diagonal", range(30), range(30), moved=1)])
    assert block.notes[0].startswith("Rows are not compared: trial 0: query 000.png ")
    assert [row.places for row in block.rows] == [None] * 4
    assert block.rows[0].scores["R1"].mean == pytest.approx(50 / 60)


def test_a_gain_has_its_interval_where_the_baseline_is_no_row(three: list[Result]) -> None:
    expected = _block(three).rows[0].gain
    for chosen in (("ridge",), ("ridge", "coral")):
        first = _block(three, choice=Choice(aligners=chosen)).rows[0]
        assert first.gain == expected, "as if the baseline stood there"
    assert three[2].origin is not None
    Path(three[2].origin).with_suffix(".npz").unlink()
    (row,) = _block(three, choice=Choice(aligners=("ridge",))).rows
    assert row.gain is not None
    assert (row.gain.mean, row.gain.low) == (pytest.approx(50 / 60 - 12 / 60), None)


def test_a_single_person_tells_nothing(keep: Keep) -> None:
    block = _block([keep("ridge", range(2), people=1), keep("none", range(1), people=1)])
    assert (block.pairs, block.resolution) == ((), None)


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_names_of_pairs_stay_harmless(keep: Keep, form: str) -> None:
    evil = ("=1+1", "</pre><script>alert(1)</script>", "\\input{x}\x1b[31m\u202e")
    text = render([keep(name, GOOD) for name in evil], format=form, pairwise=True)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", text)
    if form in ("github", "html"):
        assert text.count("<script>") == (form == "html")
    if form == "latex":
        assert "\\input" not in text
    if form == "csv":
        pairs = [line for line in csv.DictReader(io.StringIO(text)) if line["part"] == "pair"]
        assert any(line[side].startswith("'=1+1") for line in pairs for side in ("first", "second"))
        assert not any(line[side].startswith("=") for line in pairs for side in ("first", "second"))


def test_long_tables_are_compared_on_request_only(three: list[Result], monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = build(three, compare=None, unasked=3).blocks
    assert block.rows[0].places == (1, 2)
    (block,) = build(three, compare=None, unasked=2).blocks
    assert block.rows[0].places is None
    assert block.notes == ("Rows are not compared, as they are of more than 2 results; --compare compares them.",)
    assert _block(three).rows[0].places == (1, 2)
    monkeypatch.setattr(paired, "MOST_ROWS", 2)
    assert "more than 2; choose some by --backbone and --aligner" in _block(three).notes[0]
    (block,) = build(three, compare=False).blocks
    assert (block.rows[0].places, block.notes) == (None, ())


def test_results_without_outcomes_are_not_compared_unasked(make: Make) -> None:
    (block,) = build([make("ridge", (0.5,)), make("none", (0.4,))], compare=None).blocks
    assert (block.notes, block.resolution) == ((), None)


def test_tables_show_places_gains_and_what_the_queries_resolve(three: list[Result]) -> None:
    text = render(three)
    assert re.search(r"^ +1 +1-2 +resnet-tiny +ridge +83\.3", text, flags=re.MULTILINE)
    assert re.search(r"^ +2 +1-2 ≈ +resnet-tiny +coral", text, flags=re.MULTILINE)
    assert re.search(r"^ +3 +3 +resnet-tiny +none \(baseline\)", text, flags=re.MULTILINE)
    assert re.search(r"\+63\.3 \[[\d.]+, [\d.]+\]", text)
    assert re.search(r"These queries of 30 persons resolve differences of \d+\.\d points of R1", text)
    assert "places: those that the row may have" in text
    assert r"1-2 $\approx$" in render(three, format="latex")
    (_, second, _) = csv.DictReader(io.StringIO(render(three, format="csv")))
    assert (second["rank_low"], second["rank_high"], second["like_best"]) == ("1", "2", "True")
    assert "places" not in render(three, compare=False)
    assert re.search(r"^ *1-2 ≈ +coral *$", render(three, columns=("places", "aligner")), flags=re.MULTILINE)


def test_pairs_are_shown_on_request_in_every_format(three: list[Result]) -> None:
    text = render(three, pairwise=True)
    assert re.search(r"^ridge +none +\+63\.3 \[[\d.]+, [\d.]+\] +<0\.001 +<0\.001$", text, flags=re.MULTILINE)
    assert "p: paired permutation test over people" in text
    for form in ("github", "latex"):
        assert "other row" in render(three, format=form, pairwise=True)
        assert "other row" not in render(three, format=form)
    lines = [
        line
        for line in csv.DictReader(io.StringIO(render(three, format="csv", pairwise=True)))
        if line["part"] == "pair"
    ]
    assert [(line["first"], line["second"]) for line in lines] == [
        ("ridge", "coral"),
        ("ridge", "none"),
        ("coral", "none"),
    ]
    assert float(lines[1]["p_holm"]) < 0.001
    (block,) = json.loads(render(three, format="json", pairwise=True))["blocks"]
    assert [pair["first"] for pair in block["pairs"]] == ["ridge", "ridge", "coral"]


def test_pairs_of_several_backbones_name_them(keep: Keep, three: list[Result]) -> None:
    backbone = attrs.evolve(three[1].method.backbone, name="other")
    other = attrs.evolve(three[1], method=Method(backbone, three[1].method.aligner)).read_from(three[1].origin)
    assert _block([three[0], other]).pairs[0].first == "resnet-tiny + ridge"
