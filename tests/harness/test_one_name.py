"""Two distributions that offer methods of one name, in one run."""

from __future__ import annotations

import shlex

import pytest
from crbench_baselines.coral import Coral
from crbench_baselines.mean_shift import MeanShift

from crbench.api.entry import Entry
from crbench.cli.names import PluginName
from crbench.errors import PluginError
from crbench.harness.plan import make_plan
from crbench.harness.run import run
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.report import render


@pytest.fixture
def twins(offer):
    """``one::twin`` and ``two::twin``."""
    offer(
        *(
            Registered("aligner", Entry("twin", target), Owner(name, name, "1"))
            for name, target in (("one", MeanShift), ("two", Coral))
        )
    )


def test_both_run_are_told_apart_and_can_be_repeated(spec, twins):
    with pytest.raises(PluginError, match=r"claimed by one .* and two .*; say whose, as in two::twin"):
        run(spec(aligner="twin", trial=0))
    results = run(spec(aligner=["one::twin", "two::twin"], trial=0, baseline=False))
    assert [result.status for result in results] == ["ok", "ok"]
    assert [result.method.aligner.distribution for result in results] == ["one", "two"]
    assert len({result.cell_id for result in results}) == 2
    for name, result in zip(("one::twin", "two::twin"), results, strict=True):
        words = shlex.split(result.command)
        assert words[words.index("--aligner") + 1] == name
    shown = render(results)
    assert all(f"distribution={name}" in shown for name in ("one", "two"))


def test_parameters_are_set_by_the_plain_name(spec, twins):
    plan = make_plan(spec(aligner="two::twin", trial=0, set={"twin.shrink": 0.5}))
    (aligner,) = [aligner for aligner in plan.jobs[0].aligners if aligner.name == "two::twin"]
    assert aligner.values["shrink"] == 0.5


def test_the_shell_completes_names_that_can_be_used(twins):
    found = [item.value for item in PluginName("aligner").shell_complete(None, None, "")]
    assert {"one::twin", "two::twin", "ridge"} <= set(found)
    assert "twin" not in found
