"""The process that all commands of the campaign are forked from."""

from __future__ import annotations

import pytest
from campaign.zygote import Zygote


@pytest.fixture(scope="session")
def zygote():
    with Zygote() as process:
        yield process
