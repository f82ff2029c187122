"""The page as text: valid, closed to the world, escaped, whole."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections.abc import Callable, Sequence

import attrs
import pytest
from html_page import Page, faults, opened, packed
from leaderboard.conftest import HOSTILE, Make

from crbench.leaderboard.citations import bibtex
from crbench.report import render
from crbench.report.svg import STYLES
from crbench.results import DataFacts, Result
from crbench.results.intervals import Interval, Intervals


def page_of(results: Sequence[Result], *, details: bool = True, **view: object) -> str:
    return render(results, format="html", details=details, **view)


@pytest.fixture(scope="module")
def text(board_results: list[Result]) -> str:
    """The report on the golden board."""
    return page_of(board_results, per_rate=True, published=True)


@pytest.fixture(scope="module")
def evil(hostile: list[Result]) -> str:
    """The report on hostile results."""
    return page_of(hostile, per_rate=True, published=True)


def test_the_page_shows_the_table(text: str) -> None:
    rows = Page(text).rows
    assert ["1", "resnet-tiny + ridge", "52.0 ± 1.7"] in [row[:3] for row in rows]
    assert "<p>Scores in per cent, means over the trials; ranked by R1" in text
    assert "gain: R1 points over the aligner &#39;none&#39;" in text
    assert "Failed cells" in text
    assert "ValueError: loss is NaN" in text
    assert "published numbers, not measured here, not ranked" in text
    assert "conflict, not ranked" in text


@pytest.mark.parametrize("details", [True, False])
def test_the_page_is_valid_and_needs_nothing_else(board_results: list[Result], details: bool) -> None:
    text = page_of(board_results, details=details, per_rate=True, published=True)
    assert faults(text) == []
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(Page(text).tags)
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    assert len(text.encode()) < 500_000
    for html in opened(text):
        assert faults(html, below=2) == []


def test_each_table_has_a_caption_and_headings_with_scope(text: str) -> None:
    tables = re.findall(r'<table class="grid".*?\n</table>', text, re.DOTALL)
    assert len(tables) == 5
    for table in tables:
        assert "<caption" in table
        page = Page(table)
        assert page.tags.count("th") == len(page.values("scope"))
        widths = {len(row) for row in page.rows if len(row) > 1}
        assert len(widths) == 1


def test_without_details_no_row_can_be_opened(board_results: list[Result]) -> None:
    text = page_of(board_results, details=False)
    assert opened(text) == []
    assert "aria-expanded=" not in text.partition("<script>")[0].partition("<body>")[2]
    assert text == render(board_results, format="html")


def test_opened_rows_show_what_repeats_them(board_results: list[Result], text: str) -> None:
    shown = opened(text)
    assert len(shown) == text.count('aria-expanded="false"')
    (ridge,) = [html for html in shown if "ridge" in html]
    assert ridge.count("<code>crbench run") == 2, "its trials come from two results"
    assert ["R1", "50.0", "53.0", "53.0"] in Page(ridge).rows
    assert ["queries", "40", "40", "40"] in Page(ridge).rows
    assert ["rate", "R1", "R5", "R10"] in Page(ridge).rows
    for fact in ("seed 0", "torch 2.15.0", "Example CPU", "one query has no match", "reported: nothing was verified"):
        assert fact in ridge


def test_texts_to_copy_are_those_of_the_command_line(board_results: list[Result], text: str) -> None:
    options = {"per_rate": True, "published": True}
    assert packed(text, "csv") == render(board_results, format="csv", **options)
    assert packed(text, "latex") == render(board_results, format="latex", **options)
    assert packed(text, "bibtex").startswith(bibtex(board_results)[:40])


def test_without_outcomes_the_page_says_why_nothing_is_compared(board_results: list[Result], text: str) -> None:
    assert text.count("as no outcomes of queries lie beside these results") == 2, "of the tables with several rows"
    assert 'class="matrix"' not in text


def test_the_best_rows_have_intervals_or_nothing_that_could_be_read_as_one(make: Make) -> None:
    result = make("ridge", (0.5, 0.6))
    best = re.compile(r'<table class="best".*?</table>', re.DOTALL)
    (plain,) = best.findall(page_of([result]))
    assert "±" not in plain
    assert "no intervals over people are known" in page_of([result])
    ends = {"R1": Interval(0.45, 0.7)}
    about = {"method": "", "level": 0.95, "replicates": 2000, "seed": 0, "identities": 12}
    known = attrs.evolve(result, intervals=Intervals(metrics=ends, **about))
    (shown,) = best.findall(page_of([known]))
    assert "<strong>55.0</strong> [45.0, 70.0]</td>" in shown


def test_it_says_how_many_rows_the_first_screen_and_the_figures_have(make: Make) -> None:
    results = [make(f"a{place}", (0.9 - place / 100,), cell=place) for place in range(STYLES + 1)]
    assert f"{STYLES} of {STYLES + 1} rows; no intervals" in page_of(results)
    assert "rows; no intervals" not in page_of(results[:STYLES])


def test_equal_results_give_equal_pages(board_results: list[Result]) -> None:
    assert page_of(board_results) == page_of(board_results[::-1])


def test_hostile_texts_do_no_harm(evil: str) -> None:
    everything = [evil, *opened(evil)]
    for text in everything:
        assert faults(text, below=0 if text is evil else 2) == []
        page = Page(text)
        assert page.tags.count("script") == (1 if text is evil else 0)
        assert "b" not in page.tags
        assert not {"\x1b", "\u202e", "\ud800"} & set(text)
    assert any(cell.startswith(f"[2pt]{HOSTILE}"[:30]) for row in Page(evil).rows for cell in row)


def test_the_page_policy_names_its_script_and_style(text: str) -> None:
    for tag in ("script", "style"):
        source = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert source is not None
        digest = base64.b64encode(hashlib.sha256(source[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in text


def test_the_protocol_stands_there_in_words(text: str) -> None:
    assert "Each query is an image shrunk by 2, 3 or 4; the gallery is not shrunk." in text
    assert "The gallery holds one image of each person (in expectation over all draws)." in text
    assert "The gallery holds all images of each person." in text
    assert "<dt><code>kernel</code> = bilinear</dt>" in text


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib pages are made in no time."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.mark.usefixtures("no_figures")
def test_without_matplotlib_there_are_no_figures_and_one_line_says_so(
    board_results: list[Result], caplog: pytest.LogCaptureFixture
) -> None:
    text = page_of(board_results)
    assert faults(text) == []
    assert 'class="plot"' not in text
    assert [record.message for record in caplog.records] == [
        "no figures without matplotlib; install it with: pip install 'crbench[plot]'"
    ]


def test_a_single_row_at_a_single_rate(make: Make) -> None:
    text = page_of([make("none", (0.5,), rates={"2": 0.0})])
    assert faults(text) == []
    assert "Rank-1 by rate" not in text
    assert "all queries at rate 2" in text
    assert text.count("<figure>") == 1, "its CMC curve"
    assert "<nav" not in text


def test_a_page_of_failures_only(make: Make) -> None:
    failed = attrs.evolve(make(), status="failed", error="boom", trials=(), metrics={}, by_rate={})
    text = page_of([failed])
    assert faults(text) == []
    assert "boom" in text


@pytest.mark.usefixtures("no_figures")
def test_a_copy_of_other_counts_and_changed_parameters_are_named(make: Make) -> None:
    data = DataFacts(changed={"boxes": "labeled"}, deviations=("94 of 750 test persons",))
    text = page_of([make("ridge", (0.5,), data=data)])
    assert "mlr-synthetic [boxes=labeled]" in text
    assert "94 of 750 test persons" in text


@pytest.mark.usefixtures("no_figures")
def test_a_saturated_column_is_not_all_bold(make: Make, scored: Callable[..., Result]) -> None:
    """Where most rows reach 100 per cent, bold says nothing; of R10, all four do."""
    tops = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.9}
    results = [
        scored(make(name, (0.5 + cell / 10,), cell=cell), nDCG=top) for cell, (name, top) in enumerate(tops.items())
    ]
    marks = re.findall(r'<td class="number( best| second)?" data-value="(1.0|0.9|0.8)">', page_of(results))
    assert sorted(marks) == [("", "1.0")] * (3 + 4) + [(" best", "0.8"), (" second", "0.9")]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("columns", [("R1", "mAP"), ("aligner", "R1"), ("R1", "backbone", "aligner")])
def test_chosen_columns(board_results: list[Result], columns: tuple[str, ...]) -> None:
    text = page_of(board_results, columns=columns)
    assert faults(text) == []
    assert set(re.findall(r'data-key="(.*?)"', text)) <= {*columns, "method"}


@pytest.mark.usefixtures("no_figures")
def test_the_rows_that_open_are_those_of_the_table(board_results: list[Result]) -> None:
    text = page_of(board_results, sort="aligner", top=1)
    assert len(opened(text)) == text.count('aria-expanded="false"') == 4
    methods = re.findall(r'<tr>\n(?:<td.*\n)*<th scope="row">.*?<span class="with">\+&nbsp;([^<\s]+)', text)
    shown = [re.search(r"<dt>aligner</dt><dd>(\S+),", html) for html in opened(text)]
    assert [found[1] for found in shown if found] == methods


def test_a_score_of_which_less_is_better_says_so(make: Make, scored: Callable[..., Result]) -> None:
    kind = {"lower": ["mean-rank"], "numbers": ["mean-rank"]}
    text = page_of([scored(make("ridge", (0.5,)), **kind, **{"mean-rank": 3.0})])
    assert 'data-better="lower"><button type="button">mean-rank (less is better)</button>' in text
