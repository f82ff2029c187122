"""Queries with the gallery images that two methods rank first: what a difference of scores looks like.

The images are the user's, so they get onto the page only on request. Names of files do not.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import ComparisonError
from crbench.images.tile import tile
from crbench.leaderboard.board import Block, Row
from crbench.report.series import Series, chosen
from crbench.report.terms import data_terms
from crbench.results import Result

if TYPE_CHECKING:
    from crbench.evaluation import Evaluation
    from crbench.harness.ranked import RankedTrial
    from crbench.records import Row as ImageRow

LONGEST = 10
"""Queries of each kind that a page holds at most, so that it stays small."""

_SHOWN = 8
"""Gallery images of each method."""

_QUALITY = 80


@attrs.frozen
class Request:
    """What a user asks for.

    Attributes:
        count: queries of each kind.
        rank: ranks the first trial of a result once more.
        blur: blur the top of each image.
    """

    count: int
    rank: Callable[[Result], RankedTrial]
    blur: bool = False


@attrs.frozen
class ShownImage:
    """One image: its data URI, and for a gallery image whether it shows the person who is asked for."""

    uri: str
    right: bool | None = None


@attrs.frozen
class Strip:
    """A query and what each of two methods ranks first.

    Attributes:
        why: why it is shown.
        rate: of the query.
        found: for each method its score of the query in words, and its first images.
    """

    why: str
    rate: str
    query: ShownImage
    found: tuple[tuple[str, tuple[ShownImage, ...]], ...]


@attrs.frozen
class Strips:
    """The strips of a table: two methods, and the queries between them.

    Attributes:
        trial: its number.
        score: of queries, ``AP`` or ``R1``.
        drawn: the scores are those of a gallery with one image of each person.
        terms: of the data, in words.
        blurred: the tops of images are.
    """

    methods: tuple[Series, Series]
    trial: int
    score: str
    drawn: bool
    terms: str
    blurred: bool
    strips: tuple[Strip, ...]


def strips(block: Block, request: Request) -> Strips | None:
    """The strips of a table, between its first row and the baseline of its backbone, or else the second row.

    None where the table has a single row.

    Raises:
        ComparisonError: the two rank other queries.
        CrbenchError: see `crbench.harness.ranked.ranked_trial`.
    """
    pair = _pair(chosen(block))
    if pair is None:
        return None
    one, other = (request.rank(series.row.results[0]) for series in pair)
    if one.trial.split.checksum != other.trial.split.checksum:
        raise ComparisonError(f"{pair[0].name} and {pair[1].name} rank other queries; give results on the same data")
    name = "AP" if "mAP" in one.evaluation.per_query.values else "R1"
    scores = np.stack([_scores(found.evaluation, name) for found in (one, other)])
    kinds = _kinds(scores, one.split.query.pids, request.count)
    wanted = np.unique(np.array([query for _, queries in kinds for query in queries], dtype=np.intp))
    ranked = [found.nearest(wanted, _SHOWN) for found in (one, other)]

    def strip(why: str, query: int) -> Strip:
        row = one.split.query.row(query)
        return Strip(
            why=why,
            rate=f"{row.rate:g}",
            query=ShownImage(_uri(one, row, request.blur)),
            found=tuple(
                (
                    f"{name} {100 * scores[place, query]:.0f} %",
                    tuple(_shown_images(found, query, near[query], request.blur)),
                )
                for place, (found, near) in enumerate(zip((one, other), ranked, strict=True))
            ),
        )

    return Strips(
        methods=pair,
        trial=one.trial.index,
        score=name,
        drawn=not one.protocol.scoring.multi_shot,
        terms=data_terms(block.dataset).rstrip("."),
        blurred=request.blur,
        strips=tuple(strip(why, query) for why, queries in kinds for query in queries),
    )


def _pair(series: Sequence[Series]) -> tuple[Series, Series] | None:
    """The first row, and the baseline with its backbone or else the best of the others."""
    if len(series) < 2:
        return None
    first, *others = series
    same = [one for one in others if one.row.baseline and _backbone(one.row) == _backbone(first.row)]
    return first, (same or others)[0]


def _backbone(row: Row) -> tuple[str, str | None]:
    backbone = row.result.method.backbone
    return backbone.name, backbone.preset


def _scores(evaluation: Evaluation, name: str) -> NDArray[np.float64]:
    """f64[q] of each query: its AP, or the probability of a match at rank 1; NaN where it does not count."""
    found = evaluation.per_query
    return np.where(found.valid, found.values["mAP"] if name == "AP" else found.cmc[:, 0], np.nan)


def _kinds(scores: NDArray[np.float64], pids: NDArray[np.int64], count: int) -> list[tuple[str, list[int]]]:
    """Why and which queries are shown; each person once at most, as queries of a person are alike.

    Args:
        scores: f64[2, q] by both methods; NaN where a query does not count.
    """
    one, other = scores
    seen: set[int] = set()
    kinds = []
    for why, order in (("most changed", -np.abs(one - other)), ("best", -one), ("worst", one)):
        found: list[int] = []
        for query in np.argsort(order, kind="stable").tolist():
            if len(found) < count and not np.isnan(order[query]) and pids[query] not in seen:
                seen.add(int(pids[query]))
                found.append(query)
        kinds.append((why, found))
    return kinds


def _shown_images(found: RankedTrial, query: int, near: NDArray[np.intp], blur: bool) -> Iterator[ShownImage]:
    split = found.split
    for place in near.tolist():
        right = bool(split.gallery.pids[place] == split.query.pids[query])
        yield ShownImage(_uri(found, split.gallery.row(place), blur), right)


def _uri(found: RankedTrial, row: ImageRow, blur: bool) -> str:
    """An image as JPEG inside of an address; a small one is enlarged so that its pixels can be seen."""
    buffer = io.BytesIO()
    tile(found.read(row), blur=blur).save(buffer, format="JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
