"""Of two processes that want the same weights, one trains and the other waits."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from crbench.api.context import RunContext
from crbench.harness.weights import train_once
from crbench.store.lease import Claim

RUN = RunContext(logger=logging.getLogger("run"))


def test_who_waits_says_so_and_goes_on_when_the_other_is_done(tmp_path: Path, caplog) -> None:
    path, trained = tmp_path / "w.safetensors", []
    caplog.set_level(logging.INFO)
    lease = Claim(tmp_path / "w.lease").attempt()
    assert lease is not None
    thread = threading.Thread(target=lambda: train_once(path, lambda: trained.append(1), run=RUN))
    thread.start()
    while thread.is_alive() and not caplog.messages:
        thread.join(0.01)
    assert trained == []
    lease.release()
    thread.join()
    assert trained == [1]
    (line,) = caplog.messages
    assert line.startswith(f"another process trains w.safetensors; this one waits for it (process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []
