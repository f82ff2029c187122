"""What an analysis is of: it stands above the tables, and in the JSON."""

from __future__ import annotations

from typing import Self

import attrs

from crbench._version import __version__
from crbench.harness.opened import OpenedTrial, People
from crbench.results.labels import clean

_SEEN = {
    "test": "whom neither backbone nor aligner was trained on",
    "train": "whom backbone and aligner were trained on",
}


@attrs.frozen
class Subject:
    """A trial of a backbone on a data set.

    Attributes:
        fingerprint: of the protocol.
        weights_sha256: of the backbone; None = it has none.
        aligners: their names.
        people: whose images were looked at; None = queries and gallery.
    """

    dataset: str
    protocol: str
    fingerprint: str
    trial: int
    backbone: str
    weights_sha256: str | None
    seed: int
    aligners: tuple[str, ...]
    people: People | None
    crbench: str = __version__

    @classmethod
    def of(cls, opened: OpenedTrial, aligners: tuple[str, ...], people: People | None = None) -> Self:
        """What an opened trial is."""
        job = opened.job
        return cls(
            dataset=job.dataset.public_name,
            protocol=job.protocol.name,
            fingerprint=opened.facts.fingerprint,
            trial=opened.trial.index,
            backbone=job.backbone.public_name,
            weights_sha256=opened.ready.weights_sha256,
            seed=opened.facts.run.seed,
            aligners=aligners,
            people=people,
        )

    def __str__(self) -> str:
        whose = "" if self.people is None else f", {self.people} people, {_SEEN[self.people]}"
        return clean(
            f"{self.dataset}, protocol {self.protocol}, trial {self.trial}, backbone {self.backbone}, seed {self.seed}"
            f"{whose}, fingerprint {self.fingerprint}, crbench {self.crbench}"
        )
