"""Small ceilings: what they are worth is not tested here."""

from __future__ import annotations

import pytest

from crbench.bench import ceilings


@pytest.fixture(autouse=True, scope="session")
def _small_ceilings():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ceilings, "_SIDE", {"cpu": 32})
        patch.setattr(ceilings, "_COPY_BYTES", {"cpu": 1 << 12})
        yield
