"""The page in a real browser: what readers do, and nothing on the console or the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from browser import CHROMIUM, Browser, browser
from leaderboard.conftest import Make

from crbench.leaderboard import arrange
from crbench.leaderboard.board import Row
from crbench.report import render
from crbench.report.page import page as page_text
from crbench.results import Result

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        tab.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        yield tab


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, board_results: list[Result]) -> str:
    """Of the report on the golden board."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(board_results, format="html", details=True, per_rate=True, published=True), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(tab: Browser, address: str) -> Iterator[Browser]:
    """The report, just opened. Whatever a test does, nothing may be said or asked for."""
    tab.look(1400)
    tab.open(address)
    tab.messages.clear()
    yield tab
    assert tab.messages == []
    assert [url.partition("#")[0] for url in tab.requests] == [address]


SECOND = "document.querySelectorAll('.grid')[1]"
NAMES = "[...T.querySelectorAll('tbody th')].filter(e => e.offsetParent).map(e => e.textContent.split('+\\u00a0')[1])"


def names(tab: Browser, table: str = SECOND) -> list[str]:
    """The aligners of the visible rows of a table, in order."""
    return tab.run(NAMES.replace("T", table))


def click(tab: Browser, element: str) -> None:
    tab.run(f"{element}.click()")


def heading(key: str, table: str = SECOND) -> str:
    return f"{table}.querySelector('thead [data-key=\"{key}\"] button')"


def test_a_click_on_a_heading_sorts_best_first_then_last_and_the_address_keeps_it(page: Browser) -> None:
    click(page, heading("R1"))
    assert page.run(f"{heading('R1')}.parentElement.ariaSort") == "descending"
    shown = "[...T.querySelectorAll('tbody:not(.disputed) td.number:nth-child(3)')].map(e => Number(e.dataset.value))"
    values = page.run(shown.replace("T", SECOND))
    assert values == sorted(values, reverse=True)
    click(page, heading("R1"))
    assert page.run(shown.replace("T", SECOND)) == values[::-1]
    assert all("conflict" in name for name in names(page)[4:]), "rows that disagree with others stay below"
    assert page.run(f"{heading('R1')}.parentElement.ariaSort") == "ascending"
    assert page.run("document.querySelectorAll('.grid [data-key=rank][aria-sort]').length") == 0
    assert page.run("getComputedStyle(document.querySelector('[aria-sort] button'), '::after').content") == '" ▲"'
    page.open(page.run("location.href"))
    assert page.run(f"{heading('R1')}.parentElement.ariaSort") == "ascending"


def test_an_opened_row_stays_with_its_method_when_rows_are_sorted(page: Browser) -> None:
    button = f"[...{SECOND}.querySelectorAll('tbody th button')].find(b => b.textContent.includes('ridge'))"
    click(page, button)
    page.wait(f"{button}.ariaExpanded === 'true'")
    click(page, heading("method"))
    page.run("(find.value = 'ridge', find.dispatchEvent(new Event('input')))")
    click(page, "document.querySelector('#columns [value=R5]')")
    text = page.run(f"{button}.closest('tbody').rows[1].innerText")
    assert text.count("R5") == 2, "tables inside of a row are whole"
    assert "crbench run" in text
    assert "Scores of each trial" in text
    click(page, button)
    assert page.run(f"{button}.closest('tbody').rows[1].hidden")


def test_a_search_leaves_rows_with_all_words_and_empty_tables_vanish(page: Browser) -> None:
    page.run("(find.value = 'RIDGE tiny', find.dispatchEvent(new Event('input')))")
    assert [names(page, f"document.querySelectorAll('.grid')[{place}]") for place in range(3)] == [[], ["ridge"], []]
    assert page.run("[...document.querySelectorAll('section.measured')].filter(s => !s.hidden).length") == 1
    assert page.run("location.hash") == "#find=RIDGE+tiny"
    page.run("(find.value = 'nowhere', find.dispatchEvent(new Event('input')))")
    assert page.run("nothing.offsetParent !== null")


def test_the_table_that_is_chosen_stands_alone(page: Browser) -> None:
    page.run("(only.selectedIndex = 2, only.dispatchEvent(new Event('change')))")
    shown = "[...document.querySelectorAll('section.measured')].filter(s => !s.hidden).map(s => s.id)"
    assert page.run(shown) == [page.run("only.value")]
    page.open(page.run("location.href"))
    assert page.run(shown) == [page.run("only.value")]


def test_columns_can_be_put_away(page: Browser) -> None:
    visible = f"[...{SECOND}.querySelectorAll('tr:first-child > *')].filter(c => c.dataset.key || true).length"
    assert page.run(visible) > 0
    click(page, "document.querySelector('#columns [value=R5]')")
    assert page.run(f"{heading('R5')}.parentElement.hidden")
    rows = f"[...new Set([...{SECOND}.tBodies].map(b => [...b.rows[0].cells].filter(c => !c.hidden).length))]"
    heads = f"[...{SECOND}.tHead.rows[0].cells].filter(c => !c.hidden).length"
    assert page.run(rows) == [page.run(heads)]
    page.open(page.run("location.href"))
    assert page.run(f"{heading('R5')}.parentElement.hidden")


def test_everything_can_be_reached_and_done_by_keys(page: Browser) -> None:
    page.run("find.focus()")
    for _ in range(60):
        page.press("Tab")
        if page.run("document.activeElement.matches('tbody th button')"):
            break
    button = "document.activeElement"
    assert page.run(f"getComputedStyle({button}).outlineStyle") == "solid"
    page.press("Enter")
    page.wait(f"{button}.ariaExpanded === 'true'")


@pytest.mark.parametrize("text", ["csv", "latex", "bibtex"])
def test_texts_are_copied_whole(page: Browser, board_results: list[Result], text: str) -> None:
    click(page, f"document.querySelector('[data-copy={text}]')")
    page.wait("said.textContent !== ''")
    copied = page.run("navigator.clipboard.readText()")
    if text == "bibtex":
        assert "@misc{crbench," in copied
    else:
        assert copied == render(board_results, format=text, per_rate=True, published=True)


def test_the_command_of_a_row_is_copied(page: Browser) -> None:
    click(page, f"{SECOND}.querySelector('tbody th button')")
    page.wait(f"{SECOND}.querySelector('.opened') !== null")
    click(page, f"{SECOND}.querySelector('.opened [data-copy]')")
    page.wait("said.textContent !== ''")
    assert page.run("navigator.clipboard.readText()").startswith("crbench run --dataset mlr-synthetic")


def compared(make: Make) -> str:
    """A page with all that widens a table: intervals of scores and gains, places, long names."""
    board, view = arrange([make("none", (0.4, 0.5)), make("procrustes/" + 40 * "endless", (0.7, 0.8), cell=2)])
    (block,) = board.blocks

    def wide(row: Row) -> Row:
        scores = {key: one._replace(low=one.mean - 0.05, high=one.mean + 0.05) for key, one in row.scores.items()}
        gain = row.gain and row.gain._replace(low=0.1, high=0.3)
        return attrs.evolve(row, scores=scores, gain=gain, places=(1, 2))

    block = attrs.evolve(block, rows=tuple(map(wide, block.rows)))
    return page_text(attrs.evolve(board, blocks=(block,)), view, details=True)


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_names_and_scores_without_sideways_scrolling(
    page: Browser, address: str, make: Make, tmp_path: Path, dark: bool
) -> None:
    wide = tmp_path / "wide.html"
    wide.write_text(compared(make), encoding="utf-8")
    page.look(390, 844, dark=dark)
    for url, table in ((wide.as_uri(), "document.querySelector('.grid')"), (address, SECOND)):
        page.open(url)
        assert page.run("document.documentElement.scrollWidth") <= 390
        inner = f"{table}.closest('.scroll').getBoundingClientRect().right"
        assert page.run(f"{heading('R1', table)}.getBoundingClientRect().right - {inner}") <= 0
        heights = "[...document.querySelectorAll('.plot text')].map(text => text.getBoundingClientRect().height)"
        assert page.run(f"Math.min(...{heights})") > 9


def test_print_shows_all_of_a_table_and_no_buttons(page: Browser) -> None:
    page.look(1000, media="print")
    assert page.run("document.querySelector('.controls').offsetParent === null")
    assert page.run("Math.min(...[...document.querySelectorAll('tbody > tr > th')].map(e => e.offsetWidth))") > 100
    assert page.run("[...document.querySelectorAll('.tall')].every(e => e.scrollHeight <= e.clientHeight + 1)")


def test_colours_of_lines_can_be_told_from_the_ground(page: Browser) -> None:
    """WCAG 1.4.11: graphics have a contrast of 3 to 1 at least; text 4.5 to 1."""
    code = """(() => {
      const style = getComputedStyle(document.documentElement);
      const light = (name) => {
        const [r, g, b] = style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/g).map((x) => parseInt(x, 16) / 255)
          .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort(); return (y + 0.05) / (x + 0.05); };
      const lines = [0, 1, 2, 3, 4, 5].map((place) => contrast(`--series-${place}`, "--card"));
      const words = ["--text", "--soft", "--accent", "--warn"];
      const texts = words.flatMap((name) => [contrast(name, "--card"), contrast(name, "--page")]);
      return [Math.min(...lines), Math.min(...texts)];
    })()"""
    for dark in (False, True):
        page.look(1400, dark=dark)
        lines, texts = page.run(code)
        assert lines >= 3
        assert texts >= 4.5


def test_hostile_texts_run_nothing(tab: Browser, tmp_path: Path, hostile: list[Result], make: Make) -> None:
    path = tmp_path / "report.html"
    path.write_text(render([*hostile, make("ridge", (0.5,))], format="html", details=True), encoding="utf-8")
    tab.messages.clear()
    tab.open(path.as_uri())
    tab.run("[...document.querySelectorAll('tbody th button')].forEach(b => b.click())")
    tab.wait("[...document.querySelectorAll('tbody th button')].every(b => b.ariaExpanded === 'true')")
    assert tab.messages == []
    assert tab.requests == [path.as_uri()]
