"""Evaluates against a gallery of many files on workers: blocks of queries x shards, and a tree of additions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import RunContext, Tracker
from crbench.cluster import gallery_tasks as tasks
from crbench.cluster.asking import Asking
from crbench.cluster.connect import connected
from crbench.cluster.gallery_tasks import Answered, AskedEvaluation, Looked, OpenedShard
from crbench.cluster.request import ClusterSpec
from crbench.errors import ConfigError, EvaluationError
from crbench.evaluation.copies import Overlap
from crbench.evaluation.engines import Asked
from crbench.evaluation.gallery import MAX_ROWS, check_lengths
from crbench.evaluation.labels import FAN_IN, LabelFacts
from crbench.evaluation.outcomes import Outcomes
from crbench.evaluation.questions import unanswered
from crbench.evaluation.ranks import Ranking, split
from crbench.evaluation.scores import Evaluation, names
from crbench.evaluation.selection import Selection
from crbench.files.gallery_files import GalleryFiles, load_query_and_shards
from crbench.metrics.cmc import CURVE_LENGTH
from crbench.protocol import EvalProtocol
from crbench.ranking.distance import DISTANCES
from crbench.records import Features

if TYPE_CHECKING:
    from distributed import Client, Future

BLOCK_BYTES = 256 << 20
"""What a block of queries may take of a worker's memory, unless told otherwise: features, and counts that meet."""

ROW_BYTES = 64
"""Of a query or a positive beside its features."""

COUNT_BYTES = 4
"""Of a positive in each column that is counted."""

_AHEAD = 2
"""Blocks that are under way at a time: the next begins while the last shards of one are ranked."""


def evaluate_on_cluster(
    query: Path,
    gallery: Sequence[Path],
    protocol: EvalProtocol,
    cluster: ClusterSpec,
    *,
    metrics: Sequence[str] = (),
    curve: int = CURVE_LENGTH,
    engine: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    memory_budget: int | None = None,
    context: RunContext | None = None,
) -> tuple[Evaluation, Overlap]:
    """Score features in files on workers; the same bits as `crbench.evaluate` gives for all of them.

    Memory of a worker: labels of one shard, a block of queries with its positives and the counts that it adds up
    (``memory_budget``, or `BLOCK_BYTES`), and what the engine may use. Files that hold float32 row by row are mapped.

    Args:
        query, gallery: files, see `crbench.files.feature_files.load_features`; workers find them by their whole paths.
        cluster: which workers.
        metrics, curve, engine, precision, memory_budget: see `crbench.evaluate`.
        device: ``auto`` is what each worker finds.

    Returns:
        The evaluation, and what is of note in the features.

    Raises:
        ConfigError: Dask is not installed; the rules need the whole gallery at once; see also `crbench.evaluate`.
        DataError: see `crbench.files.gallery_files.load_query_and_shards`.
        EvaluationError: see `crbench.evaluate`.
        SystemFaultError: no scheduler answers, or it is lost, or a worker died too often.
    """
    check_in_parts(protocol)
    selection, context = Selection.of(protocol, metrics), context or RunContext()
    side, files = load_query_and_shards(query, gallery)
    asked = AskedEvaluation(
        query=query.absolute(),
        gallery=tuple(path.absolute() for path in files.paths),
        protocol=protocol,
        ways=Asked.checked(engine, precision, memory_budget),
        device=device,
        curve=curve,
    )
    with connected(cluster, context.logger) as client:
        return _Driver(client, cluster, context, asked, files, side.features).run(selection)


def check_in_parts(protocol: EvalProtocol) -> None:
    """Refuse rules that need the whole gallery at once.

    Raises:
        ConfigError: re-ranking, or the distance of a plugin.
    """
    what = "re-ranking" if protocol.scoring.reranking is not None else "a plugin's distance"
    if protocol.scoring.reranking is not None or protocol.scoring.distance not in DISTANCES:
        raise ConfigError(f"--executor dask: {what} needs the whole gallery at once; use --executor local and one file")


@attrs.frozen(eq=False)
class _Piece:
    """The queries of one block.

    Attributes:
        number: of the block.
        group: the group of cameras that they belong to.
        places: intp[b], their positions in the group; each of them has a positive.
    """

    number: int
    group: int
    places: NDArray[np.intp]


class _Driver:
    def __init__(
        self,
        client: Client,
        cluster: ClusterSpec,
        context: RunContext,
        asked: AskedEvaluation,
        files: GalleryFiles,
        query: Features,
    ) -> None:
        self._asking = Asking(client, cluster, context, smaller="--memory-budget")
        self._retries = cluster.retries
        self._context, self._files, self._query, self._asked = context, files, query, asked
        self._shards = range(len(files))
        self._given = self._submit("files", "of query and gallery", tasks.given, asked)

    def run(self, selection: Selection) -> tuple[Evaluation, Overlap]:
        """All steps."""
        try:
            opened = self._open()
            firsts = np.cumsum([0, *(one.rows for one in opened)])[:-1].tolist()
            looked, found = self._look(firsts)
            found.facts.check_some_match(self._query.rows, self._asked.protocol)
            pieces = list(self._cut(found, opened[0].columns))
            answers = self._rank(pieces, looked, firsts, any(one.wide for one in opened) or tasks.is_wide(self._query))
        finally:
            self._asking.release()
        return self._evaluation(found.facts, answers, selection), found.overlap

    def _evaluation(self, facts: LabelFacts, answers: Sequence[Answered], selection: Selection) -> Evaluation:
        """The scores that follow from all blocks, and from the queries of none, which have no positive."""
        protocol, alone = self._asked.protocol, np.flatnonzero(facts.matches.sizes == 0)
        rest = unanswered(facts, protocol, self._asked.curve).take(alone)
        back = np.argsort(np.concatenate([alone, *(one.rows for one in answers)]))
        return Evaluation.of(
            self._query.rows,
            Outcomes.joined([rest, *(one.outcomes for one in answers)]).take(back),
            protocol,
            selection,
            engine=names(name for one in answers for name in one.engines),
            precision=names(name for one in answers for name in one.precisions),
            ambiguous=sum(one.ambiguous for one in answers),
        )

    def _open(self) -> list[OpenedShard]:
        found: dict[int, OpenedShard] = {}
        with self._context.progress(len(self._shards), "open the gallery", "files") as bar:

            def then(number: int, future: Future[OpenedShard]) -> None:
                found[number] = future.result()
                bar.advance()

            for number in self._shards:
                after = partial(then, number)
                self._submit("open", f"shard {number}", tasks.open_shard, self._given, number, then=after)
            self._wait()
        opened = [found[number] for number in self._shards]
        for path, one in zip(self._files.paths, opened, strict=True):
            self._files.check_named(path, one.named, opened[0].named)
        check_lengths({one.columns for one in opened})
        if sum(one.rows for one in opened) > MAX_ROWS:
            raise EvaluationError(f"the gallery has more than {MAX_ROWS} rows, which ranks do not count")
        return opened

    def _look(self, firsts: Sequence[int]) -> tuple[Future[Looked], Looked]:
        """What the whole gallery holds: with the workers, and here."""
        found: list[Looked] = []
        with self._context.progress(len(self._shards), "look at labels", "files") as bar:
            leaves = [
                self._submit(
                    "look", f"shard {number}", tasks.look_at_shard, self._given, number, first, then=_advance(bar, 1)
                )
                for number, first in enumerate(firsts)
            ]
            then = partial(_append, found)
            whole = self._tree("join", "labels", tasks.join_looked, leaves, then=then)
            self._wait()
        return whole, found[0]

    def _cut(self, looked: Looked, columns: int) -> Iterator[_Piece]:
        """Blocks of queries that a worker has the memory for."""
        budget, number, facts = self._asked.ways.memory or BLOCK_BYTES, 0, looked.facts
        for group, own in enumerate(facts.groups):
            asked = np.flatnonzero(facts.matches.sizes[own.queries])
            block = facts.block(group, asked)
            ranking = Ranking(block, block.matches.rows, (), self._asked.protocol, self._context.progress, counts=1)
            rows = (1 + block.matches.sizes) * (4 * columns + ROW_BYTES)
            counts = (FAN_IN + 1) * COUNT_BYTES * ranking.needed()
            for places in split(asked, rows + counts, budget):
                yield _Piece(number, group, places)
                number += 1

    def _rank(
        self, pieces: Sequence[_Piece], looked: Future[Looked], firsts: Sequence[int], wide: bool
    ) -> list[Answered]:
        found: list[Answered] = []
        total = sum(len(piece.places) for piece in pieces) * len(self._shards)
        with self._context.progress(total, "evaluate", "queries") as bar:
            for piece in pieces:
                self._rank_block(piece, looked, firsts, wide, partial(_append, found), bar)
                while self._asking.open and piece.number + 1 - len(found) >= _AHEAD:
                    self._asking.wait(_nothing)
            self._wait()
        return found

    def _rank_block(
        self,
        piece: _Piece,
        looked: Future[Looked],
        firsts: Sequence[int],
        wide: bool,
        then: Callable[[Future[Answered]], None],
        bar: Tracker,
    ) -> None:
        """Ask for a block: counts in each shard, their sums, and what follows from them."""
        name, first = f"block {piece.number}", -piece.number  # earlier blocks go first
        block = self._submit(
            "cut", name, tasks.cut_block, looked, piece.number, piece.group, piece.places, wide, priority=1
        )
        leaves = [
            self._submit(
                "count",
                f"{name}, shard {number}",
                tasks.count_in_shard,
                self._given,
                block,
                number,
                before,
                then=_advance(bar, len(piece.places)),
                priority=first,
                resources=self._asking.resources,
            )
            for number, before in enumerate(firsts)
        ]
        # Sums go before further counts, so that few counts wait in memory.
        sums = self._tree("add", name, tasks.add_counts, leaves, priority=1)
        self._submit("answer", name, tasks.answer, self._given, block, sums, then=then, priority=1)

    def _tree(
        self,
        step: str,
        name: str,
        work: Callable[..., Any],
        parts: Sequence[Future[Any]],
        then: Callable[[Future[Any]], None] | None = None,
        **options: Any,
    ) -> Future[Any]:
        """The parts put together, few at a time and in their order, so that no worker holds many."""
        level = 0
        while True:
            runs = [list(parts[start : start + FAN_IN]) for start in range(0, len(parts), FAN_IN)]
            last = then if len(runs) == 1 else None
            parts = [
                self._submit(step, f"{name}, level {level}, {number}", work, run, then=last, **options)
                for number, run in enumerate(runs)
            ]
            if len(parts) == 1:
                return parts[0]
            level += 1

    def _submit(
        self,
        step: str,
        name: str,
        work: Callable[..., Any],
        *arguments: Any,
        then: Callable[[Future[Any]], None] | None = None,
        **options: Any,
    ) -> Future[Any]:
        return self._asking.submit(step, name, work, *arguments, then=then, retries=self._retries, **options)

    def _wait(self) -> None:
        """Go on until all tasks have ended."""
        while self._asking.open:
            self._asking.wait(_nothing)


def _nothing() -> None: ...


def _append(found: list[Any], future: Future[Any]) -> None:
    found.append(future.result())


def _advance(bar: Tracker, count: int) -> Callable[[Future[Any]], None]:
    return lambda future: bar.advance(count)
