"""What workers do for an evaluation: look at a shard of the gallery, rank a block of queries in it, add counts up.

Workers map files of features where they lie. What travels is names of files, positions of positives, and counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench._version import __version__
from crbench.api.context import no_progress
from crbench.arrays import to_features
from crbench.denormals import denormals_kept
from crbench.errors import ConfigError
from crbench.evaluation.copies import Overlap
from crbench.evaluation.engines import Asked
from crbench.evaluation.gallery import Gallery, Positives, columns_that_count, placed_after
from crbench.evaluation.gallery_shards import Engines, InSeveral
from crbench.evaluation.labels import LabelFacts
from crbench.evaluation.outcomes import Outcomes
from crbench.evaluation.ranks import Ranking, Shards, Sums
from crbench.files.feature_files import Loaded, load_features, load_rows
from crbench.files.gallery_files import GalleryFiles
from crbench.harness.environment import pick_device
from crbench.protocol import EvalProtocol
from crbench.records import Features
from crbench.registry.caller import calling_plugins

STREAM = "evaluate"
"""Names the draws, as `crbench.evaluate` does."""


@attrs.frozen
class AskedEvaluation:
    """An evaluation, as workers know it.

    Attributes:
        query, gallery: files, by their whole paths.
        protocol: the rules.
        ways: how to compute.
        device: where; ``auto`` is what each worker finds.
        curve: entries of CMC curves.
        version: of crbench.
    """

    query: Path
    gallery: tuple[Path, ...]
    protocol: EvalProtocol
    ways: Asked
    device: str
    curve: int
    version: str = __version__

    def check(self) -> None:
        """Refuse what another version asks for.

        Raises:
            ConfigError: it does.
        """
        if self.version != __version__:
            raise ConfigError(
                f"a worker has crbench {__version__}, who asks has {self.version}; install the same version on all "
                "machines, and start the workers again"
            )

    def shard(self, number: int, first: int) -> tuple[Loaded, Features]:
        """A file of the gallery and its features; `first` is the number of rows in the files before it."""
        loaded = load_features(self.gallery[number], role="gallery")
        return loaded, placed_after(loaded.features, first, numbered=self.protocol.scoring.draws is not None)


@attrs.frozen
class OpenedShard:
    """What a file of the gallery holds.

    Attributes:
        rows, columns: how many.
        named: rows have names.
        wide: features are float64, see `crbench.arrays.to_features`.
    """

    rows: int
    columns: int
    named: bool
    wide: bool


@attrs.frozen(eq=False)
class Looked:
    """What one shard or several hold.

    Attributes:
        facts: what labels say; the rows of matches are those of their file.
        overlap: with the queries.
    """

    facts: LabelFacts
    overlap: Overlap

    def __sizeof__(self) -> int:
        """For Dask, which would see no arrays."""
        return self.facts.nbytes + 2 * len(self.overlap.own)


@attrs.frozen(eq=False)
class Block:
    """Queries that are ranked together, of one group of cameras.

    Attributes:
        number: tells it from other blocks.
        rows: intp[b], which queries they are.
        facts: what labels of the whole gallery say of them.
        wide: features of all sides are float64.
    """

    number: int
    rows: NDArray[np.intp]
    facts: LabelFacts
    wide: bool

    def __sizeof__(self) -> int:
        """For Dask, which would see no arrays."""
        return self.facts.nbytes + self.rows.nbytes


@attrs.frozen(eq=False)
class Counted:
    """The sums of a block over one shard or several, and what computed them."""

    sums: Sums
    engines: frozenset[str]
    precisions: frozenset[str]

    def __sizeof__(self) -> int:
        """For Dask, which would see no arrays."""
        return sum(ahead.nbytes for ahead in self.sums.ahead)


@attrs.frozen(eq=False)
class Answered:
    """The outcomes of a block, whose queries are rows intp[b]; see `crbench.evaluation.Evaluation` for the rest."""

    rows: NDArray[np.intp]
    outcomes: Outcomes
    ambiguous: int
    engines: frozenset[str]
    precisions: frozenset[str]


def given(asked: AskedEvaluation) -> AskedEvaluation:
    """The evaluation itself, as a task that others depend on: so each worker gets it once."""
    return asked


def open_shard(asked: AskedEvaluation, number: int) -> OpenedShard:
    """Size and kind of a shard."""
    asked.check()
    features = load_features(asked.gallery[number], role="gallery").features
    return OpenedShard(len(features), features.x.shape[1], features.rows.named, is_wide(features))


def look_at_shard(asked: AskedEvaluation, number: int, first: int) -> Looked:
    """What the labels of a shard say; `first` is the number of rows in the shards before it."""
    query = load_features(asked.query, role="query").features
    loaded, shard = asked.shard(number, first)
    facts = LabelFacts.of(query.rows, shard.rows, asked.protocol, STREAM, columns_that_count(shard))
    places = attrs.evolve(facts.matches, rows=loaded.places[facts.matches.rows])
    overlap = Overlap.of(query, shard, same_camera=asked.protocol.scoring.same_camera)
    return Looked(attrs.evolve(facts, matches=places), overlap)


def join_looked(parts: Sequence[Looked]) -> Looked:
    """What consecutive shards hold together."""
    return Looked(LabelFacts.joined([part.facts for part in parts]), Overlap.joined([part.overlap for part in parts]))


def cut_block(looked: Looked, number: int, group: int, places: NDArray[np.intp], wide: bool) -> Block:
    """A block of queries of one group of cameras.

    Args:
        looked: what the whole gallery holds.
        places: intp[b], the positions of the queries in their group.
    """
    return Block(number, looked.facts.groups[group].queries[places], looked.facts.block(group, places), wide)


@denormals_kept()
def count_in_shard(asked: AskedEvaluation, block: Block, number: int, first: int) -> Counted:
    """What is ahead of the positives of a block in one shard."""
    with calling_plugins():  # one at a time, for the sake of memory
        ready = _ready(asked, block)
        _, shard = asked.shard(number, first)
        engines = Engines(asked.protocol, asked.ways, no_progress)
        shards = InSeveral(
            query=ready.query,
            gallery=Gallery(GalleryFiles(asked.gallery)),
            positives=ready.positives.rows,
            wide=block.wide,
            protocol=asked.protocol,
            device=pick_device(asked.device),
            engines=engines,
        )
        sums = _ranking(asked, block, ready.positives.places, shards).counted(number, shards.shard(number, shard))
        used, precisions = engines.used()
        return Counted(sums, frozenset(used), frozenset(precisions))


def add_counts(parts: Sequence[Counted]) -> Counted:
    """The sums of a block over the shards of all parts."""
    sums = Sums.joined([part.sums for part in parts])
    return Counted(sums, *(frozenset().union(*(getattr(one, name) for one in parts)) for name in _USED))


@denormals_kept()
def answer(asked: AskedEvaluation, block: Block, counted: Counted) -> Answered:
    """The outcomes of a block from its sums over the whole gallery."""
    places = np.zeros_like(block.facts.matches.rows)  # all is counted, so no engine looks at them
    outcomes = _ranking(asked, block, places, ()).answered(counted.sums)
    return Answered(block.rows, outcomes, counted.sums.ambiguous, counted.engines, counted.precisions)


_USED = ("engines", "precisions")


@attrs.frozen(eq=False)
class _Ready:
    """The features of a block.

    Attributes:
        key: of the evaluation and the block.
        query: its queries.
        positives: theirs.
    """

    key: tuple[AskedEvaluation, int]
    query: Features
    positives: Positives


_last: list[_Ready] = []
"""The block that this worker ranked last: blocks are ranked in many shards, one after the other."""


def _ready(asked: AskedEvaluation, block: Block) -> _Ready:
    key = asked, block.number
    if not _last or _last[0].key != key:
        _last.clear()
        query = load_features(asked.query, role="query").features
        query = attrs.evolve(query, x=to_features(query.x)).take(block.rows)
        matches = block.facts.matches
        images, _ = matches.distinct()
        found = []
        for number in np.unique(matches.shards).tolist():
            rows = matches.rows[images][matches.shards[images] == number]
            found.append(to_features(load_rows(asked.gallery[number], role="gallery"))[rows])
        _last.append(_Ready(key, query, Positives.of(query.rows, matches, found)))
    return _last[0]


def _ranking(asked: AskedEvaluation, block: Block, places: NDArray[np.intp], shards: Shards) -> Ranking:
    """Args: intp[P], positives as the engines know them."""
    return Ranking(block.facts, places, shards, asked.protocol, no_progress, counts=1, length=asked.curve)


def is_wide(features: Features) -> bool:
    """Whether they are float64, see `crbench.arrays.to_features`."""
    return bool(to_features(features.x).dtype.itemsize > 4)
