"""A gallery as engines get it: in one shard, or in several of which each is given the positives of all.

Memory beside the features of one shard: labels and features of the positives, and what `crbench.evaluate` is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial

import attrs

from crbench.api.context import Progress
from crbench.arrays import to_features
from crbench.config.units import THREAD_BUDGET
from crbench.errors import EvaluationError
from crbench.evaluation import masks
from crbench.evaluation.engines import Asked, chosen, load
from crbench.evaluation.gallery import Gallery
from crbench.evaluation.inputs import checked
from crbench.protocol import EvalProtocol
from crbench.ranking.interface import Engine, RankInputs, RankRows
from crbench.records import Features, Samples

_COUNT_BYTES = 4


class Engines:
    """Makes the engines of an evaluation, and knows which ones there were."""

    def __init__(self, protocol: EvalProtocol, asked: Asked, progress: Progress) -> None:
        self._protocol = protocol
        self._asked = asked
        self._progress = progress
        self._last: Engine | None = None
        self._names: set[str] = set()
        self._precisions: set[str] = set()

    def make(self, inputs: RankInputs, gallery: Samples) -> Engine:
        """The engine for these rows; it is the only one at work until the next one is made."""
        name, settings = chosen(self._asked, inputs)
        if (how := self._protocol.scoring.reranking) is None:
            engine: Engine = load(name)(inputs, settings)
        else:
            from crbench.ranking.rerank.engine import RerankedEngine
            from crbench.ranking.rerank.k_reciprocal import KReciprocal

            parameters, found = KReciprocal(how.k1, how.k2, how.weight), masks.candidates(gallery, self._protocol)
            name, engine = "reranked", RerankedEngine(inputs, settings, parameters, found, self._progress)
        self._note()
        self._names.add(name)
        self._last = engine
        return engine

    @property
    def counts(self) -> int:
        """Most counts of several shards that are held at a time: half of what an evaluation may take."""
        budget = THREAD_BUDGET if self._asked.memory is None else self._asked.memory
        return max(1, budget // 2 // _COUNT_BYTES)

    def used(self) -> tuple[set[str], set[str]]:
        """Names of the engines, and the precisions that they had at the end."""
        self._note()
        return self._names, self._precisions

    def _note(self) -> None:
        if self._last is not None:
            self._precisions.add(self._last.precision)


@attrs.frozen(eq=False)
class GalleryShard:
    """One shard, ready to be ranked; see `crbench.evaluation.ranks.Shard`.

    Attributes:
        rows: its images, in the order in which the engine knows them.
        checked: gives what the engine gets.
    """

    rows: Samples
    checked: Callable[[], RankInputs]
    engines: Engines

    @cached_property
    def engine(self) -> Engine:
        """What ranks in it."""
        return self.engines.make(self.checked(), self.rows)


@attrs.frozen(eq=False)
class InOne:
    """A gallery in one shard, which is checked already."""

    inputs: RankInputs
    rows: Samples
    engines: Engines

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[GalleryShard]:
        yield self._only

    @cached_property
    def _only(self) -> GalleryShard:
        """The same each time, as an engine may keep what it found."""
        return GalleryShard(self.rows, lambda: self.inputs, self.engines)


@attrs.frozen(eq=False)
class InSeveral:
    """A gallery in several shards, each of which is checked when its turn comes.

    Attributes:
        positives: see `crbench.evaluation.gallery.Positives`.
        wide: features are float64, as those of some shard or of the queries are.
    """

    query: Features
    gallery: Gallery
    positives: RankRows
    wide: bool
    protocol: EvalProtocol
    device: str | None
    engines: Engines

    def __len__(self) -> int:
        return len(self.gallery.shards)

    def __iter__(self) -> Iterator[GalleryShard]:
        for number, shard in enumerate(self.gallery):
            yield self.shard(number, shard)

    def shard(self, number: int, features: Features) -> GalleryShard:
        """One of the shards, from 0."""
        return GalleryShard(features.rows, partial(self._checked, number, features), self.engines)

    def _checked(self, number: int, shard: Features) -> RankInputs:
        x = to_features(self.query.x)
        query = attrs.evolve(self.query, x=x.double() if self.wide else x)
        try:
            inputs = checked(query, shard, self.protocol, None, self.device)
        except EvaluationError as error:
            raise EvaluationError(f"shard {number + 1} of {len(self)} of the gallery: {error}") from error
        own, where = self.positives, inputs.query.x.device
        x = own.x.to(where, inputs.query.x.dtype)
        return attrs.evolve(inputs, positives=attrs.evolve(own, x=x, norms=own.norms.to(where)))
