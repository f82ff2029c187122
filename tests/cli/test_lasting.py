"""What commands do to the garbage collector ends with them."""

from __future__ import annotations

import gc

import pytest

from crbench.cli import invoke
from crbench.cli.lasting import collector_kept, lasting


@pytest.fixture(autouse=True)
def _visited():
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_a_program_that_calls_a_command_finds_its_objects_again(tmp_path, capsys):
    kept = object()
    holder = [kept]
    assert invoke(["leaderboard", str(tmp_path)]) == 3  # no result is there
    assert gc.get_freeze_count() == 0
    assert any(found is holder for found in gc.get_referrers(kept))
    assert gc.isenabled()


def test_what_a_program_froze_stays_frozen():
    gc.freeze()
    with collector_kept(), lasting():
        pass
    assert gc.get_freeze_count() > 0
