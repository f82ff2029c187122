"""What an analysis is of: it stands above the tables, and in the JSON."""

from __future__ import annotations

from typing import Self

import attrs

from crbench._version import __version__
from crbench.harness.opened import OpenedTrial, People
from crbench.harness.record import changed_parameters
from crbench.registry.resolve import Resolved
from crbench.results.labels import clean, with_changes

_SEEN = {
    "test": "whom neither backbone nor aligner was trained on",
    "train": "whom backbone and aligner were trained on",
}
_FITTED_ELSEWHERE = {**_SEEN, "train": "whom no aligner was fitted on"}


@attrs.frozen
class Subject:
    """A trial of a backbone on a data set.

    Attributes:
        fingerprint: of the protocol.
        weights_sha256: of the backbone; None = it has none.
        dataset, protocol, backbone, aligners: their names, with what was changed of them.
        people: whose images were looked at; None = queries and gallery.
        trials: how many the protocol has; one is looked at.
        limit: so many training and test identities are there; None = all.
        fitted_on: the data set on whose training rows the aligners were fitted; None = on its own.
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
    trials: int = 1
    limit: int | None = None
    fitted_on: str | None = None
    crbench: str = __version__

    @classmethod
    def of(cls, opened: OpenedTrial, aligners: tuple[str, ...], people: People | None = None) -> Self:
        """What an opened trial is."""
        job = opened.job
        rules = {name.partition(".")[2]: own for name, own in job.settings.items() if name.startswith("protocol.")}
        labels = {aligner.name: _label(aligner) for aligner in job.aligners}
        return cls(
            dataset=_label(job.dataset),
            protocol=with_changes(job.protocol.name, rules),
            fingerprint=opened.facts.fingerprint,
            trial=opened.trial.index,
            backbone=_label(job.backbone),
            weights_sha256=opened.ready.weights_sha256,
            seed=opened.facts.run.seed,
            aligners=tuple(labels[name] for name in aligners),
            people=people,
            trials=job.protocol.split.trials,
            limit=opened.facts.spec.limit,
            fitted_on=None if job.partner is None else _label(job.partner.dataset),
        )

    def __str__(self) -> str:
        seen = _SEEN if self.fitted_on is None else _FITTED_ELSEWHERE
        whose = "" if self.people is None else f", {self.people} people, {seen[self.people]}"
        trial = f"trial {self.trial}" + (f" of {self.trials} (--trial takes another)" if self.trials > 1 else "")
        changed = "".join(f", aligner {name}" for name in self.aligners if name.endswith("]"))
        fitted = "" if self.fitted_on is None else f", aligners fitted on {self.fitted_on}"
        limited = "" if self.limit is None else f", limited to {self.limit} identities"
        return clean(
            f"{self.dataset}, protocol {self.protocol}, {trial}{limited}, backbone {self.backbone}{changed}{fitted}, "
            f"seed {self.seed}{whose}, fingerprint {self.fingerprint}, crbench {self.crbench}"
        )


def _label(method: Resolved) -> str:
    return with_changes(method.public_name, changed_parameters(method))
