"""What was measured, in words: for readers who do not know the names of the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from markupsafe import Markup, escape

from crbench.leaderboard.board import Block
from crbench.leaderboard.columns import counts
from crbench.protocol.page import in_words
from crbench.results.labels import clean

_RATE_SOURCES = {
    "oracle": "Methods are told the rate of each query.",
    "presumed": "Rates are presumed, not known.",
    "size": "Rates are estimated from the height of each image.",
}
_CODE = re.compile(r"`([^`]*)`")


@attrs.frozen
class Rules:
    """A protocol in words.

    Attributes:
        id: distinct on the page.
        name: of the protocol.
        groups: by title, the name, value and meaning of each rule.
    """

    id: str
    name: str
    groups: Mapping[Markup, Sequence[tuple[str, str, Markup]]]


def rules_id(block: Block) -> str:
    """Where the rules of a table stand on the page."""
    return f"rules-{block.rows[0].result.protocol.fingerprint}"


def rules_in_words(block: Block) -> Rules:
    """The rules of a table."""
    groups = in_words(block.rows[0].result.protocol.rules)
    return Rules(
        id=rules_id(block),
        name=clean(block.protocol),
        groups={
            markdown(title): [(rule.name, clean(rule.value), markdown(rule.meaning)) for rule in rules]
            for title, rules in groups.items()
        },
    )


def measured(block: Block) -> str:
    """The task of a table in a few sentences."""
    return " ".join([*_sizes(block), *_sentences(block.rows[0].result.protocol.rules)])


def _sizes(block: Block) -> Iterator[str]:
    """How many queries of how many people, as far as it is known."""
    queries, persons = counts(block.queries), counts(block.persons)
    trials = f"in each of {len(block.trials)} trials" if len(block.trials) > 1 else f"in trial {block.trials[0]}"
    if queries:
        yield f"{queries} queries{f' of {persons} persons' if persons else ''} {trials}."


def _sentences(rules: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on the rules that a reader must know to read a score at all."""
    given = rules.get("query_rates")  # of a file that may come from anybody
    rates = [rate for rate in given if isinstance(rate, (int, float))] if isinstance(given, (list, tuple)) else []
    if rates:
        shrunk = alternatives([f"{rate:g}" for rate in rates])
        yield f"Each query is an image shrunk by {shrunk}; the gallery is not shrunk."
    elif rules.get("lr_camera") == "smaller":
        yield "Queries come from the camera with the smaller images, which are used as they are."
    else:
        yield "Queries and gallery are used as they are."
    shot = str(rules.get("shot"))
    if shot.startswith("single"):
        drawn = "in expectation over all draws" if shot == "single:exact" else "mean over random draws"
        yield f"The gallery holds one image of each person ({drawn})."
    else:
        yield "The gallery holds all images of each person."
    source = str(rules.get("rate_source")).partition(":")[0]
    if rates and source in _RATE_SOURCES:
        yield _RATE_SOURCES[source]
    if rules.get("rerank", "none") != "none":
        yield "Distances are re-ranked."


def alternatives(words: Sequence[str]) -> str:
    """Words as prose.

    Example:
        >>> alternatives(["2", "3", "4"])
        '2, 3 or 4'
    """
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def markdown(text: str) -> Markup:
    """A line of Markdown with nothing but code in it, as HTML."""
    parts = _CODE.split(text)
    return Markup().join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )
