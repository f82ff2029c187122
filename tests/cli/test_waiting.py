"""How threads of libraries wait: briefly, unless the user says otherwise, and known before torch is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from crbench.cli import _WAITING, wait_briefly


@pytest.fixture
def free(monkeypatch):
    """Nothing says how threads wait."""
    for name in _WAITING:
        monkeypatch.setenv(name, "x")  # so that it is put back after the test
        monkeypatch.delenv(name)
    return monkeypatch


def test_they_wait_briefly(free):
    wait_briefly()
    assert {name: os.environ.get(name) for name in _WAITING} == {
        "OMP_WAIT_POLICY": "passive",
        "GOMP_SPINCOUNT": "1000",
        "KMP_BLOCKTIME": None,
    }


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "0"), ("KMP_BLOCKTIME", "200")]
)
def test_a_setting_of_the_user_wins(free, name, value):
    free.setenv(name, value)
    wait_briefly()
    assert {one: os.environ.get(one) for one in _WAITING} == {one: value if one == name else None for one in _WAITING}


@pytest.mark.parametrize(
    ("asked", "policy", "spins"),
    [({}, "PASSIVE", "1000"), ({"OMP_WAIT_POLICY": "active"}, "ACTIVE", None), ({"GOMP_SPINCOUNT": "7"}, None, "7")],
)
def test_the_runtime_obeys(asked, policy, spins):
    """GNU OpenMP prints its settings when torch loads it, so it has read them by then."""
    environment = {name: value for name, value in os.environ.items() if name not in _WAITING}
    environment |= {"OMP_DISPLAY_ENV": "verbose", **asked}
    command = [sys.executable, "-m", "crbench", "doctor"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "OMP_WAIT_POLICY" not in told.stderr:
        pytest.skip("this runtime of OpenMP does not print its settings")
    shown = told.stdout.replace("\n", "")
    if policy is not None:
        assert f"OMP_WAIT_POLICY = '{policy}'" in told.stderr
        assert f"OMP_WAIT_POLICY={policy.lower()}" in shown
    if spins is not None:
        assert f"GOMP_SPINCOUNT = '{spins}'" in told.stderr
        assert f"GOMP_SPINCOUNT={spins}" in shown
    assert ("OMP_WAIT_POLICY" in shown, "GOMP_SPINCOUNT" in shown) == (policy is not None, spins is not None)
