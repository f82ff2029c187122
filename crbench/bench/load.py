"""What else a machine does while it is measured: the processors that other processes keep busy, and stolen time.

Linux counts the time of every processor; what this process used of it is taken off. So foreign work is seen even where
it is steady, and no measured time differs from another.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import attrs
from attrs import validators as v

_COUNTERS = Path("/proc/stat")
_BUSY = (0, 1, 2, 5, 6)
"""Columns of a processor's line that are work: user, nice, system, interrupts, soft interrupts."""

_STOLEN = 7
"""The column of the time that a hypervisor gave to another machine."""

_LEAST_DISTURBING = 0.1
"""Processors; fewer than these are what an idle system does for itself."""

_DISTURBING_SHARE = 0.005
"""Of all processors, where that is more: large machines have more services."""


@attrs.frozen(kw_only=True)
class Load:
    """What others had of the processors that this process may use, over a while.

    Attributes:
        seconds: length of the while.
        processors: that this process may use.
        others: of these, busy with other processes, on average.
        stolen: of these, not there because a hypervisor gave their time away, on average.
        average: the system's load average of the last minute (`os.getloadavg`), which counts this process too; it is
            told to readers and judges nothing.
    """

    seconds: float = attrs.field(validator=v.gt(0))
    processors: int = attrs.field(validator=v.ge(1))
    others: float = attrs.field(validator=v.ge(0))
    stolen: float = attrs.field(validator=v.ge(0))
    average: float

    @property
    def disturbs(self) -> bool:
        """Whether it can lower a measured speed: more than a tenth of a processor, or 0.5 % of many."""
        return self.others + self.stolen > max(_LEAST_DISTURBING, _DISTURBING_SHARE * self.processors)

    def __str__(self) -> str:
        """How much it was, in words.

        Example:
            >>> str(Load(seconds=1.0, processors=2, others=0.93, stolen=0.0, average=1.4))
            'other work had 0.93 of 2 processors, a hypervisor 0.00'
        """
        return f"other work had {self.others:.2f} of {self.processors} processors, a hypervisor {self.stolen:.2f}"


@attrs.frozen
class _Counted:
    """Seconds since the start of the machine, or of this process (`own`)."""

    wall: float
    busy: float
    stolen: float
    own: float
    processors: int


class LoadMeter:
    """Measures the load from its making until `read`.

    The system counts in ticks of some milliseconds. What a tick may hide is taken off, so a short while reads as less
    than it was.
    """

    def __init__(self) -> None:
        self._start = _counted()

    def read(self) -> Load | None:
        """The load since this meter was made; None where the system does not count it (not Linux)."""
        start, end = self._start, _counted()
        if start is None or end is None or end.wall <= start.wall:
            return None
        wall = end.wall - start.wall
        own, hidden = end.own - start.own, len(_BUSY) * _tick()
        return Load(
            seconds=wall,
            processors=end.processors,
            others=max(0.0, end.busy - start.busy - own - hidden) / wall,
            stolen=max(0.0, end.stolen - start.stolen - _tick()) / wall,
            average=os.getloadavg()[0],
        )


def watch(seconds: float) -> Load | None:
    """The load over the next `seconds`, in which this process sleeps."""
    meter = LoadMeter()
    time.sleep(seconds)
    return meter.read()


def heavier(one: Load | None, other: Load | None) -> Load | None:
    """The one of two loads in which others had more; None where neither is known."""
    known = [load for load in (one, other) if load is not None]
    return max(known, key=lambda load: load.others + load.stolen, default=None)


def _counted() -> _Counted | None:
    try:
        lines = _COUNTERS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    rows = [[int(count) for count in fields[1:]] for fields in map(str.split, lines) if fields and fields[0] in usable]
    if not rows or any(len(row) <= _STOLEN for row in rows):
        return None
    ended = os.times()
    return _Counted(
        wall=time.monotonic(),
        busy=sum(row[column] for row in rows for column in _BUSY) * _tick(),
        stolen=sum(row[_STOLEN] for row in rows) * _tick(),
        own=time.process_time() + ended.children_user + ended.children_system,
        processors=len(rows),
    )


def _tick() -> float:
    """Seconds of one count."""
    return 1 / os.sysconf("SC_CLK_TCK")
