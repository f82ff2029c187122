"""The records of a prediction."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from crbench.prediction.chain import longest_chain


@attrs.frozen(kw_only=True)
class Step:
    """One step of a run, or several equal ones that do not depend on each other.

    Attributes:
        key: names it among all; others need it by this name.
        name: what is done: ``start``, ``open``, ``prepare``, ``load``, ``train``, ``list``, ``look up``, ``decode``,
            ``extract``, ``fit``, ``evaluate`` or ``table``.
        of: what it is done for: a job, a backbone or an aligner.
        tasks: how many pieces of it there are that workers may do at once.
        kept: how much of it need not be done, as it was found, in words.
        images: that are read or go through the network; pairs of query and gallery of an evaluation are not images.
        macs: multiply-accumulate operations; None = not known.
        read_bytes: of features that are read from the cache.
        written_bytes: of features that are written into it, in memory where there is none.
        memory_bytes: that the process has at this step, at least.
        seconds: of the whole step by one process; None = not known.
        longest_s: of its longest task.
        basis: what `seconds` are taken from, or how to measure them.
        needs: keys of the steps that must be done before.
    """

    key: str
    name: str
    of: str = ""
    tasks: int = 1
    kept: str = ""
    images: int | None = None
    macs: int | None = None
    read_bytes: int = 0
    written_bytes: int = 0
    memory_bytes: int | None = None
    seconds: float | None = None
    longest_s: float | None = None
    basis: str = ""
    needs: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Prediction:
    """What a run will do.

    Attributes:
        steps: in the order of a run in one process.
        whole: the seconds of all steps are known, and no job is left out.
        notes: what could not be predicted, and why.
    """

    steps: Sequence[Step]
    whole: bool = True
    notes: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        """Of all steps whose seconds are known, one after the other."""
        return sum(step.seconds or 0.0 for step in self.steps)

    @property
    def unknown(self) -> tuple[Step, ...]:
        """The steps whose seconds are not known."""
        return tuple(step for step in self.steps if step.seconds is None)

    @property
    def memory_bytes(self) -> int | None:
        """Of the step that needs the most; None = of none is anything known."""
        return max((step.memory_bytes for step in self.steps if step.memory_bytes is not None), default=None)

    @property
    def chain(self) -> tuple[float, tuple[Step, ...]]:
        """The chain of steps that need each other and take longest, and its seconds: no workers finish earlier.

        A step counts with its longest task; one whose seconds are not known counts as 0.
        """
        steps = {step.key: step for step in self.steps}
        weights = {key: step.longest_s or 0.0 for key, step in steps.items()}
        seconds, keys = longest_chain(weights, {key: step.needs for key, step in steps.items()})
        return seconds, tuple(steps[key] for key in keys)
