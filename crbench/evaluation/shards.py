"""Shards: an evaluation done in parts, by several processes or machines, and put together again bit for bit.

Each query's outcome depends on the whole gallery and, where it is drawn or re-ranked, on the labels of all queries, but
not on which other queries are scored with it. So a shard scores some of the queries, and merging is putting outcomes
side by side.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

import attrs
import numpy as np
from attrs import validators as v
from numpy.typing import NDArray

from crbench._version import __version__
from crbench.errors import ComparisonError, ConfigError
from crbench.evaluation.outcomes import Outcomes
from crbench.evaluation.scores import Evaluation, names
from crbench.evaluation.selection import Selection
from crbench.protocol import EvalProtocol
from crbench.ranking.interface import RankInputs, RankRows
from crbench.records import Samples

_CHUNK = 1 << 22
"""Elements hashed in one go."""


@attrs.frozen
class Shard:
    """Part `number` of `count` of the queries, from 1; each part is a run of consecutive rows.

    Example:
        >>> [list(Shard(number, 3).rows(7)) for number in (1, 2, 3)]
        [[0, 1], [2, 3], [4, 5, 6]]
    """

    number: int = attrs.field(validator=v.ge(1))
    count: int = attrs.field(validator=v.ge(1))

    def __attrs_post_init__(self) -> None:
        if self.number > self.count:
            raise ValueError(f"shard {self.number}/{self.count}: there are {self.count} shards, from 1")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard from ``2/8``.

        Raises:
            ConfigError: another form, or no such shard.
        """
        found = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,8})", text, re.ASCII)
        if found is None or int(found[1]) > int(found[2]):
            raise ConfigError(f"shard {text!r} is not one of 1/N, 2/N, ..., N/N")
        return cls(int(found[1]), int(found[2]))

    def rows(self, total: int) -> range:
        """The rows of this shard, of `total`."""
        return range(total * (self.number - 1) // self.count, total * self.number // self.count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@attrs.frozen(eq=False)
class Part:
    """What a shard found.

    Attributes:
        shard: which of the parts it is.
        queries: the queries of the shard, in the order of the query rows.
        outcomes: theirs, see `crbench.evaluation.outcomes.Outcomes`.
        features: 64 hex digits that stand for features and labels of all queries and of the gallery.
        protocol: the rules.
        stream: names the draws.
        version: of crbench.
        engine, precision, ambiguous: see `crbench.evaluation.scores.Evaluation`.
    """

    shard: Shard
    queries: Samples
    outcomes: Outcomes
    features: str
    protocol: EvalProtocol
    stream: str
    engine: str
    precision: str
    ambiguous: int
    version: str = __version__


def merge(parts: Sequence[Part], metrics: Sequence[str] = ()) -> Evaluation:
    """The evaluation of all queries from all its parts, in any order; the same bits as without shards.

    Args:
        metrics: see `crbench.evaluate`; parts hold ranks, so they need not know.

    Raises:
        ComparisonError: parts of different features, rules, draws or versions, a part that is missing or given twice.
        EvaluationError: no query has a match.
        ConfigError, PluginError: see `crbench.evaluate`.
    """
    ordered = complete(parts)
    protocol = ordered[0].protocol
    return Evaluation.of(
        Samples.concat([part.queries for part in ordered]),
        Outcomes.joined([part.outcomes for part in ordered]),
        protocol,
        Selection.of(protocol, metrics),
        engine=names(part.engine for part in ordered),
        precision=names(part.precision for part in ordered),
        ambiguous=sum(part.ambiguous for part in ordered),
    )


def complete(parts: Sequence[Part]) -> list[Part]:
    """The parts in order.

    Raises:
        ComparisonError: see `merge`.
    """
    if not parts:
        raise ComparisonError("no parts to merge")
    first, *others = sorted(parts, key=lambda part: part.shard.number)
    for part in others:
        for name, what in (
            ("version", "crbench versions"),
            ("features", "features or labels"),
            ("protocol", "protocols"),
            ("stream", "draws"),
        ):
            if getattr(part, name) != getattr(first, name):
                raise ComparisonError(f"parts {first.shard} and {part.shard} are of different {what}")
        if part.shard.count != first.shard.count:
            raise ComparisonError(f"parts {first.shard} and {part.shard} are of different numbers of shards")
    numbers = [part.shard.number for part in parts]
    for number in range(1, first.shard.count + 1):
        if numbers.count(number) != 1:
            problem = "missing" if number not in numbers else "given twice"
            raise ComparisonError(f"part {number}/{first.shard.count} is {problem}; expected each part once")
    return [first, *others]


def content(query: Samples, gallery: Iterable[tuple[Samples, RankInputs]]) -> str:
    """64 hex digits of SHA-256 over features and labels of both sides.

    Args:
        gallery: the rows of each shard, and what the engines get for it.
    """
    total = hashlib.sha256()
    for number, (rows, inputs) in enumerate(gallery):
        sides = [(query, inputs.query), (rows, inputs.gallery)]
        for labels, feats in sides if number == 0 else sides[1:]:
            columns = feats.dims, labels.pids, labels.camids, labels.rates, np.char.encode(labels.keys, "utf-8")
            kinds = (column.dtype.str for column in columns)
            total.update(str((tuple(feats.x.shape), labels.named, *kinds)).encode())
            for block in (*columns, *_blocks(feats)):
                total.update(np.ascontiguousarray(block).tobytes())
    return total.hexdigest()


def _blocks(feats: RankRows) -> Iterator[NDArray[np.float32]]:
    step = max(1, _CHUNK // feats.x.shape[1])
    return (feats.x[start : start + step].cpu().numpy() for start in range(0, len(feats), step))
