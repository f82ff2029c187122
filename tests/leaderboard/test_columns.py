"""The columns: one record each, in every format; scores of plugins among them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import attrs
import pytest

from crbench.errors import ComparisonError, ConfigError
from crbench.leaderboard import scores
from crbench.leaderboard.board import Row, View
from crbench.leaderboard.build import build
from crbench.leaderboard.column import Column
from crbench.leaderboard.columns import measured_columns
from crbench.leaderboard.tables import footnote, tables
from crbench.report import FORMATS, render
from crbench.results import Evidence, Result

Make = Callable[..., Result]


def _headings(text: str) -> list[str]:
    """Of the first table."""
    line = next(line for line in text.splitlines() if "backbone" in line)
    return re.split(r" {2,}", line.strip())


def _csv(results: list[Result]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(results, format="csv"))))


def test_every_format_prints_the_columns_of_the_list(make: Make) -> None:
    results = [make("none", (0.4, 0.5), cell=1, shot="multi"), make("ridge", (0.5, 0.6), cell=2, shot="multi")]
    columns = measured_columns(build(results).scores_shown(View()))
    keys = [key for column in columns for key in column.keys]
    shown = [column.heading for column in columns if column.title]
    assert _headings(render(results)) == shown
    assert list(_csv(results)[0]) == ["part", *keys]
    row = json.loads(render(results, format="json"))["blocks"][0]["rows"][0]
    assert list(row) == [*keys, "marks", "speeds"]


def test_keys_are_distinct(board_results: list[Result]) -> None:
    keys = [key for column in measured_columns(build(board_results).scores) for key in column.keys]
    assert len(set(keys)) == len(keys)


def test_the_footnote_is_that_of_the_columns_shown(make: Make) -> None:
    ranked, part = make("ridge", (0.5,), cell=1), make("ridge", (0.5,), cell=2, limit=3)
    with_gain, without = (footnote(tables(build([one]), View(timings=True))) for one in (ranked, part))
    assert "gain: R1 points" in with_gain
    assert "gain" not in without
    assert "samples/s: features aligned per second." in without


def test_what_a_run_took_is_shown_on_request_only_and_marked(make: Make) -> None:
    """Two runs of one method print 0.08 s and 2.5 s of a fit, as busy as the machine was."""
    results = [make("ridge", (0.5,), fit_s=2.5)]
    for form in FORMATS:
        text = render(results, format=form)
        assert not re.search(r"fit.?s|samples.?(/s|per)", text)
        assert "unchecked" in render(results, format=form, timings=True)
    assert _headings(render(results, timings=True))[-2:] == ["fit s (unchecked) ↓", "samples/s (unchecked) ↑"]
    (line,) = csv.DictReader(io.StringIO(render(results, format="csv", timings=True)))
    assert (line["unchecked_fit_s"], line["unchecked_samples_per_s"]) == ("2.5", "600000.0")


def test_a_board_of_failures_has_no_footnote(make: Make) -> None:
    failed = attrs.evolve(make(), status="failed", error="boom", trials=(), metrics={}, by_rate={})
    assert "Scores" not in render([failed])
    assert "gain" not in _csv([failed])[0]


def test_scores_of_plugins_follow_the_usual_ones(make: Make, scored: Callable[..., Result]) -> None:
    result = scored(make("ridge", (0.5,), shot="multi"), **{"nDCG": 0.7, "first-tier": 0.25})
    expected = ["R1 ↑", "R5 ↑", "R10 ↑", "mAP ↑", "mINP ↑", "first-tier ↑", "nDCG ↑", "R1 x2 ↑", "R1 x4 ↑"]
    assert _headings(render([result], per_rate=True))[3:12] == expected
    (line,) = _csv([result])
    assert [name for name in line if not re.search("_(std|low|high|between)$", name)][11:19] == [
        *("R1", "R5", "R10", "R20", "mAP", "mINP", "first-tier", "nDCG")
    ]
    assert (line["nDCG"], line["first-tier"]) == ("0.7", "0.25")
    assert " 25.0 " in render([result])


@pytest.fixture
def mean_rank(make: Make, scored: Callable[..., Result]) -> list[Result]:
    """Three results with the score mean-rank, of which less is better."""
    kind = {"lower": ["mean-rank"], "numbers": ["mean-rank"]}
    values = {1: 3.14159, 2: 12.5, 3: 0.5}
    return [
        scored(make("ridge", (0.5,), cell=cell, parameters={"alpha": cell}), **kind, **{"mean-rank": value})
        for cell, value in values.items()
    ]


def test_the_smallest_value_is_the_best_where_lower_is_better(mean_rank: list[Result]) -> None:
    board = build(mean_rank)
    marks = {row.result.cell_id[-1]: row.marks.get("mean-rank") for row in board.blocks[0].rows}
    assert marks == {"3": "best", "1": "second", "2": None}
    assert "mean-rank ↓" in _headings(render(mean_rank))
    assert '<td class="number best" data-value="0.5">0.5</td>' in render(mean_rank, format="html")


def test_a_score_beyond_one_is_not_in_per_cent_in_any_row(mean_rank: list[Result]) -> None:
    text = render(mean_rank)
    for value in ("3.142", "12.5", "0.5"):
        assert re.search(rf" {value}  ", text)
    assert "mean-rank: not in per cent." in text
    assert {line["mean-rank"] for line in _csv(mean_rank)} == {"3.14159", "12.5", "0.5"}


def test_a_value_with_a_spread_beyond_one_is_printed_with_it() -> None:
    number = scores.Score("mean-rank", fraction=False).text
    assert scores.Spread(12.3456, 0.789).text(number, "std", first=number) == "12.35 ± 0.789"


def test_results_that_disagree_on_what_a_score_is_are_not_compared(make: Make, scored: Callable[..., Result]) -> None:
    """Whichever came last would decide which row of the others is the best."""
    first = scored(make("ridge", (0.5,), cell=1), numbers=["mean-rank"], **{"mean-rank": 3.0})
    other = scored(make("ridge", (0.5,), cell=2), numbers=["mean-rank"], lower=["mean-rank"], **{"mean-rank": 4.0})
    with pytest.raises(
        ComparisonError, match="'mean-rank': number, higher is better in some results, number, lower is"
    ):
        render([first, other])


def test_a_score_of_different_code_is_left_out_and_said(make: Make, scored: Callable[..., Result]) -> None:
    """A plugin that changed its score gives numbers that share a name only; all else of these results can be ranked."""

    def measured(aligner: str, code: str, cell: int) -> Result:
        result = scored(make(aligner, (0.5, 0.6), cell=cell), **{"first-tier": 0.3 + cell / 10})
        facts = {"first-tier": attrs.evolve(result.metric_facts["first-tier"], code_sha256=code * 64)}
        return attrs.evolve(result, metric_facts=facts).read_from(f"results/{aligner}-{code}.json")

    old, new, other = (measured("ridge", "a", 1), measured("ridge", "b", 2), measured("coral", "b", 3))
    text = render([old, new, other])
    assert "first-tier" not in "".join(_headings(text))
    (line,) = [line for line in text.splitlines() if "score first-tier" in line]
    assert "results/ridge-a.json" in line
    assert "results/ridge-b.json" in line
    assert "conflict" not in text
    assert len(re.findall(r"^ +1 ", text, flags=re.MULTILINE)) == 2
    assert "first-tier ↑" in _headings(render([new, other]))


def test_names_of_scores_that_could_do_harm_never_reach_a_table(make: Make, scored: Callable[..., Result]) -> None:
    with pytest.raises(ValueError, match="is no name of a metric"):
        scored(make("ridge", (0.5,)), **{"=x\x1b[31m|&<b>@2": 0.5})


def test_tables_have_the_ranks_that_are_asked_for(make: Make) -> None:
    """Ranks are a choice of the reader: no result depends on them."""
    results = [make("ridge", (0.5, 0.6), cell=1)]
    assert _headings(render(results, ranks=(3, 20)))[3:6] == ["R1 ↑", "R3 ↑", "R20 ↑"]
    (line,) = csv.DictReader(io.StringIO(render(results, format="csv", ranks=(3,))))
    assert [name for name in line if re.fullmatch(r"R\d+", name)] == ["R1", "R3", "R5", "R10", "R20"]
    assert float(line["R3"]) == pytest.approx(sum(trial.cmc[2] for trial in results[0].trials) / 2)
    assert _headings(render(results, ranks=(1, 50)))[3:5] == ["R1 ↑", "gain ↑"], "the curves end at 20"
    with pytest.raises(ConfigError, match="rank 51: curves have ranks from 1 to 50"):
        render(results, ranks=(51,))


def test_costs_are_those_of_backbone_and_aligner(make: Make) -> None:
    """What a table says of cost does not depend on the moment: parameters and multiply-accumulate operations."""
    results = [
        make("ridge", (0.5,), cell=1, count=16_384, of_aligner={"macs": 65_536}),
        make("coral", (0.4,), cell=2, count=None, of_aligner={"macs": None}),
    ]
    text = render(results)
    assert _headings(text)[-3:-1] == ["params", "MACs"]
    assert re.search(r"ridge .* 1\.2M \+ 16\.4k +1\.2M \+ 65\.5k +reported$", text, flags=re.MULTILINE)
    assert re.search(r"coral .* 1\.2M \+ \? +1\.2M \+ \? +reported$", text, flags=re.MULTILINE)
    lines = _csv(results)
    names = ("backbone_parameters", "parameters", "backbone_macs", "macs")
    assert [[line[name] for name in names] for line in lines] == [
        ["1234567", "16384", "1200000", "65536"],
        ["1234567", "", "1200000", ""],
    ]
    assert 'data-value="1250951"' in render(results, format="html")


def test_a_column_for_words_has_no_number(make: Make) -> None:
    row = build([make("ridge", (0.5,))]).blocks[0].rows[0]
    words: Column[Row] = Column(key="name", get=lambda row: row.aligner, numeric=False)
    assert (words.cell(row).text, words.cell(row).value) == ("ridge", None)


def test_a_row_is_as_well_verified_as_the_least_of_its_results(make: Make, part_of: Callable[..., Result]) -> None:
    whole = make("ridge", (0.5, 0.6))
    levels = ("run here", "recomputed")
    verified = [
        attrs.evolve(part_of(whole, index, cell=index)).read_from(
            None, evidence=Evidence(content_sha256="0" * 64, level=level, compared="")
        )
        for index, level in enumerate(levels)
    ]
    (line,) = _csv(verified)
    assert (line["trial_indices"], line["evidence"]) == ("0-1", "recomputed")
    assert _csv([whole])[0]["evidence"] == "reported"
    assert "evidence: what was verified on this machine" in render([whole])
