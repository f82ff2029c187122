"""How checks are named, run one by one, run together and waived."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from crbench.testing import RandomBackbone, check_aligner, check_backbone, checks_for
from crbench.testing.checks import Kind

KINDS = get_args(Kind)


@pytest.mark.parametrize("kind", KINDS)
def test_checks_have_unique_names_and_a_sentence(kind: Kind) -> None:
    checks = checks_for(kind)
    assert len({check.name for check in checks}) == len(checks) > 5
    assert all(check.kind == kind and check.summary.endswith(".") for check in checks)
    assert all(str(check) == check.name == check.name.lower() and "_" not in check.name for check in checks)


@pytest.mark.parametrize("check", checks_for("backbone", waive={"repeatable": "for this test"}), ids=str)
def test_a_plugins_own_tests_are_one_for_each_rule(check: Any, request: pytest.FixtureRequest) -> None:
    assert request.node.callspec.id == check.name
    if check.waived:
        with pytest.raises(unittest.SkipTest, match="backbone check 'repeatable' is waived: for this test"):
            check(RandomBackbone)
    else:
        check(RandomBackbone)


def test_pytest_shows_a_waived_check_as_skipped(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        """
import pytest
from crbench.testing import RandomBackbone, checks_for

@pytest.mark.parametrize("check", checks_for("backbone", waive={"finite": "it may overflow"}), ids=str)
def test_contract(check):
    check(RandomBackbone)
"""
    )
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"{len(checks_for('backbone')) - 1} passed, 1 skipped" in done.stdout
    assert "backbone check 'finite' is waived: it may overflow" in done.stdout


def test_nothing_is_waived_by_a_slip() -> None:
    with pytest.raises(ValueError, match=r"'finit': there is no such aligner check; did you mean 'finite'\?"):
        checks_for("aligner", waive={"finit": "reason"})
    with pytest.raises(ValueError, match="cannot waive 'finite' without a reason"):
        checks_for("aligner", waive={"finite": " "})
    with pytest.raises(ValueError, match="unknown kind 'alinger'; known: aligner, backbone, dataset, distance, metric"):
        checks_for("alinger")  # type: ignore[arg-type]


def test_all_together_stop_at_the_first_and_name_the_rule() -> None:
    class Loud(RandomBackbone):
        def extract(self, batch: Any) -> Any:
            raise RuntimeError("no such layer")

    with pytest.raises(RuntimeError, match="no such layer") as caught:
        check_backbone(Loud)
    assert caught.value.__notes__ == ["backbone check 'returns-encoded': The method extract returns Encoded."]


def test_checks_that_need_a_fit_share_one() -> None:
    fits = []

    class Counting:
        def fit(self, train: Any, *, run: Any) -> Any:
            fits.append(train)
            return lambda feats: feats

    check_aligner(Counting)
    assert len(fits) == 6  # one for most rules; training features, seed, global state, zeros and widths have their own


def test_checks_leave_the_global_generators_alone() -> None:
    class Noisy:
        def fit(self, train: Any, *, run: Any) -> Any:
            torch.rand(1)
            np.random.rand(1)
            return lambda feats: feats

    state, legacy = torch.get_rng_state(), np.random.get_state()[1]
    with pytest.raises(AssertionError, match="the fit sets numpy's random generator for the whole process"):
        check_aligner(Noisy)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], legacy)
