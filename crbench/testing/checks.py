"""Named checks: one small rule each, alone or all of a kind."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import attrs

from crbench.api.interfaces import Aligner, Backbone, Dataset
from crbench.api.pairing import TrainFeatures
from crbench.arrays import Array
from crbench.records import TestFeatures
from crbench.registry.guard import one_line
from crbench.registry.settings import undoing_changes
from crbench.testing import aligner, backbone, dataset, distance, metric
from crbench.testing.metric import Score
from crbench.wording import suggestion

Kind = Literal["aligner", "backbone", "dataset", "distance", "metric"]

Rule = Callable[[Any], None]
"""Raises `AssertionError` where the thing under test breaks it; called with the case of its kind."""

_CASES: Mapping[Kind, tuple[Callable[..., Any], Sequence[Rule]]] = {
    "aligner": (aligner.Case, aligner.RULES),
    "backbone": (backbone.Case, backbone.RULES),
    "dataset": (dataset.Case, dataset.RULES),
    "distance": (distance.Case, distance.RULES),
    "metric": (metric.Case, metric.RULES),
}


@attrs.frozen
class Check:
    """One rule of a contract; call it with a factory of the thing under test.

    Attributes:
        kind: what it is for.
        name: unique within the kind.
        summary: the rule in one sentence.
        rule: does the work.
        waived: why the rule is not demanded; None = it is.

    Example:
        >>> from crbench_baselines.none import Identity
        >>> check = checks_for("aligner")[0]
        >>> str(check), check.summary
        ('interface', 'An aligner has a method fit(train, *, run).')
        >>> check(Identity)
    """

    kind: Kind
    name: str
    summary: str
    rule: Rule = attrs.field(repr=False)
    waived: str | None = None

    def __call__(self, factory: Callable[[], Any], **options: Any) -> None:
        """Check what `factory` makes.

        Args:
            options: those of the function that runs all checks of the kind: ``train`` for an aligner, ``root`` and
                ``images`` for a data set.

        Raises:
            AssertionError: the rule is broken.
            unittest.SkipTest: the rule is waived; pytest and unittest show the test as skipped, with the reason.
        """
        if self.waived is not None:
            raise unittest.SkipTest(f"{self.kind} check {self.name!r} is waived: {self.waived}")
        make, _ = _CASES[self.kind]
        with _contained():
            self.rule(make(factory, **options))

    def __str__(self) -> str:
        return self.name


def checks_for(kind: Kind, *, waive: Mapping[str, str] | None = None) -> tuple[Check, ...]:
    """All checks of a kind, from the most basic on.

    Args:
        waive: names of checks that are not demanded, each with the reason.

    Raises:
        ValueError: no such kind, no check of that name, or no reason.
    """
    if kind not in _CASES:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(_CASES)}")
    waived = dict(waive or {})
    checks = tuple(
        Check(kind=kind, name=name, summary=_summary(rule), rule=rule, waived=waived.pop(name, None))
        for rule in _CASES[kind][1]
        for name in [rule.__name__.replace("_", "-")]
    )
    for name in waived:
        known = [check.name for check in checks]
        raise ValueError(f"cannot waive {name!r}: there is no such {kind} check{suggestion(name, known)}")
    for check in checks:
        if check.waived is not None and not check.waived.strip():
            raise ValueError(f"cannot waive {check.name!r} without a reason")
    return checks


def check_aligner(factory: Callable[[], Aligner], *, train: TrainFeatures | None = None) -> None:
    """All checks of an aligner, on `train` (default: `crbench.testing.train_features`)."""
    _run_all("aligner", factory, **({} if train is None else {"train": train}))


def check_backbone(factory: Callable[[], Backbone]) -> None:
    """All checks of a ready backbone, on random inputs of its own size."""
    _run_all("backbone", factory)


def check_dataset(factory: Callable[[], Dataset], root: Path, *, images: int = 8) -> None:
    """All checks of a data set below `root`, on trial 0 of each protocol and the first `images` of each role."""
    _run_all("dataset", factory, root=root, images=images)


def check_distance(factory: Callable[[], Callable[[TestFeatures, TestFeatures], Array]]) -> None:
    """All checks of a distance, on clustered features."""
    _run_all("distance", factory)


def check_metric(factory: Callable[[], Score]) -> None:
    """All checks of a score, on made-up ranks or CMC curves."""
    _run_all("metric", factory)


def _run_all(kind: Kind, factory: Callable[[], Any], **options: Any) -> None:
    for outcome in run_checks(checks_for(kind), factory, **options):
        if outcome.error is not None:
            outcome.error.add_note(f"{kind} check {outcome.check.name!r}: {outcome.check.summary}")
            raise outcome.error


@attrs.frozen
class Outcome:
    """What became of a check: `error` is what it raised, None where the rule is kept or waived."""

    check: Check
    error: Exception | None = None

    @property
    def result(self) -> Literal["ok", "waived", "fails"]:
        """In a word."""
        if self.error is not None:
            return "fails"
        return "ok" if self.check.waived is None else "waived"

    @property
    def reason(self) -> str:
        """Of a rule that is broken or waived; else the rule itself."""
        if self.error is None:
            return self.check.waived or self.check.summary
        return str(self.error) if isinstance(self.error, AssertionError) else one_line(self.error)


def run_checks(checks: Sequence[Check], factory: Callable[[], Any], **options: Any) -> Iterator[Outcome]:
    """Each of some checks of one kind, on one case, so that slow steps such as a fit are done once.

    Args:
        options: as of `Check.__call__`.
    """
    make, _ = _CASES[checks[0].kind]
    with _contained():
        case = make(factory, **options)
    for check in checks:
        try:
            if check.waived is None:
                with _contained():
                    check.rule(case)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            yield Outcome(check, error)
        else:
            yield Outcome(check)


@contextmanager
def _contained() -> Iterator[None]:
    """Turn an attempt to end the program into a broken rule, and put back what was set for the whole process.

    Otherwise one plugin would end all tests, and one check would change what the next one sees.
    """
    try:
        with undoing_changes(lambda changes: None):  # of which the check of the global state tells
            yield
    except SystemExit as error:
        raise AssertionError(f"a plugin must not end the program: SystemExit: {error}") from error


def _summary(rule: Rule) -> str:
    return (rule.__doc__ or "").splitlines()[0]
