"""What each format adds: escaping, marks, machine formats, the page."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser

import attrs
import pytest
from result_facts import facts_of

from crbench.errors import ConfigError, DataError
from crbench.protocol.rules import describe_rules, fingerprint_rules
from crbench.published import SOURCES
from crbench.report import FORMATS, render
from crbench.results import Component, Method, ProtocolFacts, Result

Make = Callable[..., Result]
HOSTILE = (
    r"""</pre><script>alert(1)</script>\input{x} $a_b^c$ 50% #1 & ~ {x} | `q` *s* <b> "x" ±""" + "\x1b[31m\u202e\ud800"
)


@pytest.fixture
def hostile(make: Make) -> list[Result]:
    """Two results whose every free text is hostile."""

    def evil(result: Result, name: str) -> Result:
        part = Component(name=name, version=HOSTILE, parameters={HOSTILE: HOSTILE})
        rules = {**result.protocol.rules, "name": HOSTILE, "distance": HOSTILE, "rate_source": HOSTILE}
        facts = ProtocolFacts(
            name=HOSTILE, rules=rules, describe=describe_rules(rules), fingerprint=fingerprint_rules(rules)
        )
        texts = {"rate_source": HOSTILE, "command": HOSTILE, **facts_of(HOSTILE, facts)}
        return attrs.evolve(result, method=Method(part, part), warnings=(HOSTILE,), **texts)

    first, second, third = (make(rank1=(value,), cell=cell) for cell, value in ((1, 0.5), (2, 0.4), (3, 0.3)))
    failed = attrs.evolve(third, status="failed", error=HOSTILE, trials=(), metrics={}, by_rate={})
    return [evil(first, f"[2pt]{HOSTILE}"), evil(second, "=1+1"), evil(failed, HOSTILE)]


class _Page(HTMLParser):
    """Collects the elements and attributes of a page, and the text of its table cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and self.tags[-1] == "td":
            self.rows[-1][-1] += data.strip("\n")


def test_unknown_format_and_no_results() -> None:
    with pytest.raises(ConfigError, match="unknown leaderboard format 'pdf'; known: table, github"):
        render([], format="pdf")
    with pytest.raises(DataError, match="no results to show"):
        render([])


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_ends_with_one_newline(form: str, board_results: list[Result]) -> None:
    text = render(board_results, format=form, published=True)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_colour_marks_best_and_second_and_nothing_else(board_results: list[Result]) -> None:
    plain, coloured = (render(board_results, colour=colour) for colour in (False, True))
    assert "\x1b[1m52.0 ± 1.7\x1b[0m" in coloured
    assert "\x1b[4m44.0 ± 1.0\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[014]m", "", coloured) == plain


def test_published_numbers_are_apart_daggered_and_cited(board_results: list[Result]) -> None:
    with_published = render(board_results, published=True)
    ranked, _, below = with_published.partition("mlr-viper, published numbers, not measured here, not ranked")
    assert "†" not in ranked
    assert re.search(r"VPFA† +TransReID +2025 +50\.5 +78\.8 +87\.6 .*liu2025vpfa, Table 3", below)
    assert f"† liu2025vpfa: {SOURCES['liu2025vpfa']}" in below
    assert "†" not in render(board_results)


@pytest.mark.parametrize("form", FORMATS)
def test_warnings_stand_under_their_table_once(make: Make, form: str) -> None:
    shared, own = "3 unreadable test images were skipped", "weights have no card"
    results = [
        make("none", (0.4,), cell=1, warnings=(shared,)),
        make("ridge", (0.5,), cell=2, warnings=(shared, own)),
        make("none", (0.4, 0.4), cell=3, shot="multi"),
    ]
    page = re.sub(r"<details>.*?</details>|<pre id=.*?</pre>", "", render(results, format=form), flags=re.DOTALL)
    visible = page.partition("<main>")[2] or page
    if form in ("csv", "json"):
        assert visible.count(shared) == 2
        return
    assert visible.count(f"warning: {shared}") == visible.count(shared) == 1
    assert f"warning, resnet-tiny + ridge: {own}" in visible
    tables = [part for part in visible.split("fingerprint ") if "resnet-tiny" in part]
    assert [shared in part for part in tables].count(True) == 1


def test_table_holds_no_terminal_codes_of_names(hostile: list[Result]) -> None:
    assert "\x1b" not in render(hostile, per_rate=True)


def test_github_escapes_names(hostile: list[Result]) -> None:
    text = render(hostile, format="github")
    assert "<script" not in text
    assert "<b>" not in text
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("| ")]
    assert cells
    assert len(set(cells)) == 1
    assert re.search(r"(?<!\\)[`$]", text) is None


def test_latex_escapes_names(hostile: list[Result]) -> None:
    text = "\n".join(line for line in render(hostile, format="latex").splitlines() if not line.startswith("%"))
    assert r"\input" not in text
    assert r"\textbackslash{}input\{x\}" in text
    assert r"\$a\_b\^{}c\$ 50\% \#1 \& \textasciitilde{}" in text
    assert "{}[2pt]" in text
    body = re.sub(r"\\[\\{}%&#$_]", "", text)
    assert body.count("{") == body.count("}")
    assert "%" not in body
    rows = [line.count("&") for line in body.splitlines() if " & " in line]
    assert len(set(rows)) == 1


def test_latex_marks(board_results: list[Result]) -> None:
    text = render(board_results, format="latex")
    assert r"\textbf{52.0 $\pm$ 1.7}" in text
    assert r"\underline{44.0 $\pm$ 1.0}" in text
    assert r"only (-{}-limit 3)" in text
    assert {"\\toprule", "\\midrule", "\\bottomrule"} <= set(text.splitlines())
    assert text.splitlines()[0] == r"% in the preamble: \usepackage{booktabs}"


def test_csv_gives_the_raw_numbers_back(board_results: list[Result]) -> None:
    lines = list(csv.DictReader(io.StringIO(render(board_results, format="csv", per_rate=True))))
    by_cell = {result.cell_id: result for result in board_results if result.created.startswith("2026-11-21")}
    assert {cell for line in lines if line["cell_id"] for cell in line["cell_id"].split("; ")} == set(by_cell)
    for line in (line for line in lines if line["cell_id"] in by_cell and line["conflict"] != "True"):
        result = by_cell[line["cell_id"]]
        assert line["part"] == ("failed" if result.error else "ranked" if result.rankable else "partial")
        for name, summary in result.metrics.items():
            assert float(line[name]) == summary.mean
            assert (float(line[f"{name}_std"]) if line[f"{name}_std"] else None) == summary.std
        for rate, metrics in result.by_rate.items():
            assert float(line[f"R1@{rate}"]) == metrics["R1"].mean


def test_csv_disarms_formulas(hostile: list[Result]) -> None:
    lines = list(csv.DictReader(io.StringIO(render(hostile, format="csv"))))
    assert lines[1]["backbone"] == "'=1+1"
    assert float(lines[0]["R1"]) == 0.5


def test_json_keeps_parts_apart(board_results: list[Result]) -> None:
    board = json.loads(render(board_results, format="json", published=True))
    assert sorted((block["dataset"], len(block["rows"])) for block in board["blocks"]) == [
        ("mlr-synthetic", 3),
        ("mlr-synthetic", 6),
        ("mlr-viper", 1),
    ]
    assert [len(block["rows"]) for block in board["partial"]] == [1]
    assert [cell["error"].splitlines()[-1] for cell in board["failed"]] == ["ValueError: loss is NaN"]
    assert {row["dataset"] for row in board["published"]} == {"mlr-viper"}
    assert board["repeated"] == 1
    (conflict,) = board["apart"]
    assert "results/coral.json" in conflict


def test_page_shows_the_table_and_needs_nothing_else(board_results: list[Result]) -> None:
    text = render(board_results, format="html", per_rate=True, published=True)
    page = _Page(text)
    assert ["1", "resnet-tiny", "ridge", "52.0 ± 1.7"] in [row[:4] for row in page.rows]
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    assert not {"src", "href", "srcset", "action"} & {name for name, _ in page.attributes}
    assert not re.search(r"https?:|@import|url\(", text)
    assert len(text.encode()) < 1_000_000
    assert "prefers-color-scheme: dark" in text
    assert "<p>Scores in per cent, means over the trials; ranked by R1" in text
    assert "gain: R1 points over the aligner &#39;none&#39;" in text


def test_page_escapes_names(hostile: list[Result]) -> None:
    page = _Page(render(hostile, format="html", per_rate=True, published=True))
    assert page.tags.count("script") == 1
    assert "b" not in page.tags
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert any(row[1].startswith(f"[2pt]{HOSTILE}"[:30]) for row in page.rows if row)


def test_the_page_policy_names_its_script_and_style(board_results: list[Result]) -> None:
    text = render(board_results, format="html")
    for tag in ("script", "style"):
        source = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert source is not None
        digest = base64.b64encode(hashlib.sha256(source[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in text
