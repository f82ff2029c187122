"""Features that a user gives: scored by rules, also with a plugin's distance, and their result for a leaderboard."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import attrs
import numpy as np

from crbench._version import __version__
from crbench.arrays import to_torch
from crbench.evaluation import Evaluation, Part, Shard, evaluate, evaluate_part
from crbench.evaluation.copies import Overlap
from crbench.evaluation.gallery import Gallery
from crbench.evaluation.labels import joined_in_turn
from crbench.harness.distance import check_distance, guarded
from crbench.harness.environment import describe_environment
from crbench.harness.plan import choose_distance
from crbench.harness.record import metric_facts
from crbench.protocol import EvalProtocol
from crbench.protocol.hashing import digest
from crbench.records import Features, Samples, Split
from crbench.registry.resolve import Resolved
from crbench.results import (
    Component,
    DataFacts,
    Extraction,
    Method,
    ProtocolFacts,
    Result,
    Timing,
    TrialScores,
    WeightsFacts,
)
from crbench.results.outcomes import TrialOutcomes, scores_of
from crbench.statistics import TrialQueries, intervals, numbers_of

ALIGNER = "given"
"""Stands in results in the place of an aligner: nothing was done to the features here."""

_CHUNK = 1 << 22
"""Elements hashed in one go."""


@attrs.frozen(eq=False)
class GivenFeatures:
    """Both sides, and the rules by which they are compared.

    Attributes:
        distance: where it is a plugin's; None = one of crbench's own.
    """

    query: Features
    gallery: Gallery
    protocol: EvalProtocol
    distance: Resolved | None

    @classmethod
    def of(cls, query: Features, gallery: Features | Sequence[Features], protocol: EvalProtocol) -> Self:
        """Both sides, once the distance of a plugin is found and keeps its contract.

        Args:
            gallery: whole, or in shards, see `crbench.evaluate`.

        Raises:
            ConfigError: an unknown distance.
            PluginError: the distance of two rows depends on the rows beside them, or it fails.
        """
        distance, shards = choose_distance(protocol.scoring.distance), Gallery.of(gallery)
        if distance is not None and shards.whole:
            check_distance(distance, *map(_as_compared, (query, *shards)))
        return cls(query, shards, protocol, distance)

    def evaluate(self, **options: Any) -> Evaluation:
        """Their scores; see `crbench.evaluate` for the options."""
        return evaluate(self.query, self.gallery.shards, self.protocol, **self._custom, **options)

    def part(self, shard: Shard, **options: Any) -> Part:
        """A part of it; see `crbench.evaluation.evaluate_part`."""
        return evaluate_part(self.query, self.gallery.shards, self.protocol, shard=shard, **self._custom, **options)

    @property
    def overlap(self) -> Overlap:
        """What is of note in them."""
        same_camera = self.protocol.scoring.same_camera
        shards = (Overlap.of(self.query, shard, same_camera=same_camera) for shard in self.gallery)
        return joined_in_turn(shards, Overlap.joined)

    @property
    def lists(self) -> str:
        """64 hex digits that stand for the rows of both sides: names, persons, cameras, rates."""
        nobody = Samples(keys=[], pids=[])
        return Split(train=nobody, query=self.query.rows, gallery=self.gallery.rows).checksum

    @property
    def sha256(self) -> str:
        """64 hex digits of SHA-256 over the features of both sides, shard by shard and row by row."""
        total = hashlib.sha256()
        for side in (self.query, *self.gallery):
            x = side.x if isinstance(side.x, np.ndarray) else side.x.cpu().numpy()
            dims = np.full(len(side), x.shape[1]) if side.dims is None else np.asarray(side.dims)
            total.update(str((x.shape, x.dtype.str, dims.tolist())).encode())
            step = max(1, _CHUNK // x.shape[1])
            for start in range(0, len(x), step):
                total.update(np.ascontiguousarray(x[start : start + step]).tobytes())
        return total.hexdigest()

    @property
    def _custom(self) -> dict[str, Any]:
        if self.distance is None:
            return {}
        return {"distance": guarded(self.distance), "needs": self.distance.registered.entry.needs}


def given_trial(given: GivenFeatures, found: Evaluation) -> TrialScores:
    """Their scores as the one trial of a result."""
    return TrialScores(
        index=0,
        split=given.lists,
        skipped=0,
        weights_sha256=given.sha256,
        n_gallery=len(given.gallery),
        n_persons=len(np.unique(given.query.rows.pids)),
        **scores_of(found),
    )


def given_result(
    given: GivenFeatures, found: Evaluation, *, name: str, dataset: str, seconds: float, device: str, command: str
) -> tuple[Result, Sequence[TrialOutcomes]]:
    """The result of given features, with its outcomes.

    What the features came from is not known. So their digest stands in the place of weights of unknown training, and
    there is neither extraction nor aligner to tell of.

    Args:
        name: of the method, in place of the backbone's.
        dataset: what it is a result of; rows are ranked together where it, the rules and the lists of images agree.
        seconds: of the evaluation.
        device: torch device of the evaluation.
    """
    trial, rows = given_trial(given, found), given.query.rows
    protocol, facts = ProtocolFacts.of(given.protocol), metric_facts(found.selection)
    sha256 = str(trial.weights_sha256)
    result = Result(
        cell_id=digest([name, dataset, protocol.fingerprint, trial.split, sha256]),
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        dataset=dataset,
        data=DataFacts(),
        protocol=protocol,
        rate_source=given.protocol.split.rate_source,
        method=Method(
            backbone=Component(name=name, version=__version__, weights_sha256=sha256),
            aligner=Component(name=ALIGNER, version=__version__, parameter_count=0, macs=0),
        ),
        code=_code(given.distance),
        weights=[WeightsFacts(sha256=sha256, origin="file", known=False)],
        extraction=Extraction(batch_size=1),
        trials=[trial],
        metric_facts=facts,
        intervals=intervals([TrialQueries.of(0, rows, found.per_query)], numbers=numbers_of(facts)),
        timings={"evaluate": Timing(seconds=seconds, count=len(rows), unit="queries")},
        environment=describe_environment(device, (given.distance,)),
        command=command,
        warnings=_warnings(given.distance),
        duration_s=seconds,
    )
    return result, [TrialOutcomes(0, rows, found.outcomes)]


def _as_compared(side: Features) -> Features:
    """A side as the distance of a plugin gets it."""
    return attrs.evolve(side, x=to_torch(side.x, "cpu"))


def _warnings(distance: Resolved | None) -> Sequence[str]:
    if distance is None or not distance.registered.entry.transductive:
        return ()
    return (f"distance {distance.name} is transductive: it depends on the other test images",)


def _code(distance: Resolved | None) -> Mapping[str, str | None]:
    return {} if distance is None else {"distance": distance.code_sha256}
