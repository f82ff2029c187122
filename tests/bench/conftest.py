"""Small ceilings and a quiet machine that needs no watching: what they are worth is not tested here."""

from __future__ import annotations

import pytest

from crbench.bench import blocks, ceilings, run
from crbench.bench.load import Load

QUIET = Load(seconds=1.0, processors=2, others=0.0, stolen=0.0, average=0.0)


@pytest.fixture(autouse=True, scope="session")
def _small_ceilings():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ceilings, "_SIDE", {"cpu": 32})
        patch.setattr(ceilings, "_COPY_BYTES", {"cpu": 1 << 12})
        patch.setattr(run, "watch", lambda seconds: QUIET)
        patch.setattr(blocks, "LoadMeter", QuietMeter)
        yield


class QuietMeter:
    """Of a machine that does nothing else, however many tests run on it at the same time."""

    def read(self):
        return QUIET
