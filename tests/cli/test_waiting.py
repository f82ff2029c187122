"""How threads of libraries wait: passively, unless the user says otherwise, and known before torch is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from crbench.cli import _WAITING, wait_passively


@pytest.fixture
def free(monkeypatch):
    """Nothing says how threads wait."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "x")  # so that it is put back after the test
    for name in _WAITING:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_they_wait_passively(free):
    wait_passively()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "1000"), ("KMP_BLOCKTIME", "200")]
)
def test_a_setting_of_the_user_wins(free, name, value):
    free.setenv(name, value)
    wait_passively()
    assert {one: os.environ.get(one) for one in _WAITING} == {one: value if one == name else None for one in _WAITING}


@pytest.mark.parametrize(("asked", "policy"), [(None, "PASSIVE"), ("active", "ACTIVE")])
def test_the_runtime_obeys(asked, policy):
    """GNU OpenMP prints its settings when torch loads it, so it has read the policy by then."""
    environment = {name: value for name, value in os.environ.items() if name not in _WAITING}
    environment |= {"OMP_DISPLAY_ENV": "true"} | ({} if asked is None else {"OMP_WAIT_POLICY": asked})
    command = [sys.executable, "-m", "crbench", "doctor"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "OMP_WAIT_POLICY" not in told.stderr:
        pytest.skip("this runtime of OpenMP does not print its settings")
    assert f"OMP_WAIT_POLICY = '{policy}'" in told.stderr
    assert f"OMP_WAIT_POLICY={policy.lower()}" in told.stdout.replace("\n", "")
