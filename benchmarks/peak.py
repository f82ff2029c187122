"""Peak memory of one evaluation beside its features: ``python peak.py QUERY GALLERY DIM`` prints JSON, in bytes."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import workload

from crbench import evaluate
from crbench.protocol.presets import OWN_FEATURES


def held(field: str, pid: int | str = "self") -> int:
    """Bytes that a process holds (``VmRSS``), or the most that it held since the last `forget` (``VmHWM``)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise ValueError(f"{field} is not in /proc/self/status; this measurement needs Linux")


def forget() -> None:
    """Reset the peak (``VmHWM``): that of drawing the features would hide the evaluation's."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class Watched:
    """The most that any of some processes, by itself this one, allocates while it is entered, in bytes."""

    def __init__(self, pids: Sequence[int | str] = ("self",)) -> None:
        self._pids, self._over, self.peak = pids, threading.Event(), 0

    def __enter__(self) -> Watched:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.peak = max(self.peak, *(held("RssAnon", pid) for pid in self._pids))


if __name__ == "__main__":
    evaluate(*workload.people(64, 200, 16), OWN_FEATURES)  # libraries are loaded and loops compiled
    query, gallery = workload.people(*map(int, sys.argv[1:]))
    forget()
    before = held("VmRSS")
    begin = time.perf_counter()
    evaluate(query, gallery, OWN_FEATURES)
    seconds = time.perf_counter() - begin
    features = query.x.nbytes + gallery.x.nbytes
    print(json.dumps({"features": features, "extra": held("VmHWM") - before, "seconds": seconds}))  # noqa: T201
