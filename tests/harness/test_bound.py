"""``--bound``: the baseline on the same queries unshrunk, beside what was asked for."""

from __future__ import annotations

import shlex
from pathlib import Path

import attrs
import pytest
from fakes import Hard

from crbench.api.entry import Entry
from crbench.cli.run import spec_of
from crbench.errors import ConfigError
from crbench.harness.plan import make_plan
from crbench.harness.run import run
from crbench.leaderboard.build import build
from crbench.protocol import EvalProtocol, SplitRules
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.results import load_results
from crbench.results.outcomes import read_outcomes

RULES = {"protocol.shot": "multi"}


def test_the_bound_is_the_cell_that_a_protocol_without_query_rates_gives(spec, tmp_path):
    none, ridge, bound = run(spec(aligner="ridge", bound=True, set=RULES))
    assert [result.method.aligner.name for result in (none, ridge, bound)] == ["none", "ridge", "none"]
    (by_hand,) = run(spec(set={**RULES, "protocol.query_rates": []}, output=tmp_path / "other", cache=False))
    assert by_hand.cell_id == bound.cell_id
    assert by_hand.trials == bound.trials
    assert {rate for trial in bound.trials for rate in trial.by_rate} == {"1"}


def test_its_queries_and_gallery_are_the_same_but_for_the_rates(spec, tmp_path):
    run(spec(bound=True))
    none, bound = sorted(load_results([tmp_path / "results"]), key=lambda one: len(one.by_rate), reverse=True)
    pairs = zip(
        *(read_outcomes(Path(one.origin).parent, one) for one in (none, bound)), none.trials, bound.trials, strict=True
    )
    for mine, unshrunk, scores, others in pairs:
        assert mine.queries.keys.tolist() == unshrunk.queries.keys.tolist()
        assert mine.queries.rates.min() > unshrunk.queries.rates.max() == 1
        assert (scores.data, scores.n_gallery) == (others.data, others.n_gallery)
    (table, below) = build([none, bound]).blocks
    assert [row.bound != () for block in (table, below) for row in block.rows] == [True, False]


def test_its_command_runs_it_alone(spec, tmp_path):
    bound = run(spec(bound=True, set=RULES))[-1]
    asked = spec_of(bound.command)
    assert not asked.bound
    assert asked.set["protocol.query_rates"] == []
    assert "--bound" not in shlex.split(bound.command)
    folders = {"output": tmp_path / "again", "cache_dir": tmp_path / "cache"}
    (again,) = run(attrs.evolve(asked, **folders))
    assert (again.cell_id, again.trials) == (bound.cell_id, bound.trials)


def stored():
    """A data set whose queries are LR as they stand."""
    return Hard(protocols={"mlr": EvalProtocol.of(identities="random:4/4", trials=2, query_rates=())})


@pytest.mark.parametrize(
    ("rules", "bound"),
    [
        ({}, True),
        ({"query_rates": ()}, False),
        ({"lr_camera": "none"}, False),
        ({"lr_camera": "smaller"}, False),
        ({"lr_camera": "per-id-and-folder"}, False),
    ],
)
def test_protocols_that_shrink_their_queries_alone_have_a_bound(rules, bound):
    assert SplitRules(**rules).has_bound is bound


def test_a_protocol_without_a_bound_is_refused_alone_and_noted_beside_others(spec, offer):
    owner = Owner(plugin="fakes", distribution="crbench-fakes", version="1")
    offer(Registered("dataset", Entry("stored", stored, defaults={"backbone": "random"}), owner))
    with pytest.raises(ConfigError, match="--bound: protocol mlr of stored has no bound: it does not shrink"):
        make_plan(spec(dataset="stored", bound=True))
    plan = make_plan(spec(dataset=["tiny", "stored"], bound=True))
    assert [job.dataset.name for job in plan.jobs] == ["tiny", "stored", "tiny"]
    assert any(note.startswith("protocol mlr of stored has no bound") for note in plan.notes)


def test_what_is_fitted_elsewhere_only_has_a_bound_too(spec):
    """Without the baseline no cell is left that is fitted on the data set itself."""
    plan = make_plan(spec(aligner="ridge", fit_on=["mlr-viper"], baseline=False, bound=True, trial=0))
    assert [(job.partner is None, [one.name for one in job.aligners]) for job in plan.jobs] == [
        (False, ["ridge"]),
        (True, ["none"]),
    ]
    both = make_plan(spec(aligner="ridge", fit_on=["tiny", "mlr-viper"], bound=True, trial=0))
    assert [job.protocol.split.query_rates == () for job in both.jobs] == [False, False, True]
