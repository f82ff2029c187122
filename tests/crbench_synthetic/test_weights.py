"""The backbone that `mlr-synthetic` brings: what it has seen, when it is taken, and that it scores what is printed."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from crbench_synthetic.dataset import SyntheticPedestrians
from safetensors.torch import load_file

from crbench import RunSpec
from crbench.api.context import RunContext
from crbench.errors import ComparisonError
from crbench.harness.brought import brought_weights
from crbench.harness.cards import check_card, read_card
from crbench.harness.plan import make_plan
from crbench.harness.run import run
from crbench.harness.trial import load_trials

ROOT = Path(__file__).parents[2]
WEIGHTS = SyntheticPedestrians().weights_of("resnet-tiny")
SPEC = RunSpec(dataset="mlr-synthetic")


def planned(spec):
    (job,) = make_plan(spec).jobs
    context = attrs.evolve(RunContext(), seed=spec.seed)
    return job, load_trials(job, spec, context), context


def test_half_precision_in_a_file_of_few_megabytes():
    tensors = load_file(WEIGHTS)
    assert {tensor.dtype for tensor in tensors.values() if tensor.ndim > 1} == {torch.float16}
    assert sum(path.stat().st_size for path in WEIGHTS.parent.iterdir()) < 2.7e6


def test_it_has_seen_the_training_persons_and_nobody_of_any_test():
    card = read_card(WEIGHTS)
    assert card["pids"] == list(range(1, 201))
    job, trials, _ = planned(SPEC)
    assert len(trials) == 10
    for trial in trials:
        assert np.intersect1d(card["pids"], [*trial.split.query.pids, *trial.split.gallery.pids]).size == 0
        assert check_card(WEIGHTS, job, trial) == ()


@pytest.mark.parametrize("protocol", [None, "mlrpro", "mlr-unseen", "standard"])
def test_it_is_taken_by_every_protocol(protocol):
    assert brought_weights(*planned(attrs.evolve(SPEC, protocol=protocol))) == WEIGHTS


OTHERS = [
    {"seed": 1},
    {"limit": 5},
    {"set": {"backbone.epochs": 13}},
    {"set": {"dataset.seed": 1}},
    {"set": {"dataset.train_identities": 201}},
    {"backbone": "osnet/x1_0"},
]


@pytest.mark.parametrize("changes", OTHERS, ids=str)
def test_it_stands_for_no_other_training(changes):
    assert brought_weights(*planned(attrs.evolve(SPEC, **changes))) is None


def test_where_its_persons_are_the_test_it_is_refused():
    with pytest.raises(ComparisonError, match="were trained on 100 identities"):
        run(attrs.evolve(SPEC, trial=0, weights=WEIGHTS, set={"dataset.train_identities": 100}, cache=False))


def test_the_readme_prints_the_scores_of_its_card():
    card, readme = read_card(WEIGHTS), (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"none \(baseline\) +(\S+) \[\S+ \S+\] +(\S+) +(\S+) ", readme)
    assert rows[0] == tuple(f"{100 * card['scores'][name]:.1f}" for name in ("R1", "R5", "R10"))


@pytest.mark.slow
def test_it_scores_what_its_card_says_to_the_printed_digit(tmp_path):
    (result,) = run(attrs.evolve(SPEC, aligner="none", cache=False, output=tmp_path))
    for name, score in read_card(WEIGHTS)["scores"].items():
        assert f"{100 * result.metrics[name].mean:.1f}" == f"{100 * score:.1f}"


def test_one_and_two_threads_rank_alike(tmp_path):
    spec = attrs.evolve(SPEC, aligner="ridge", weights=WEIGHTS, limit=16, trial=0, cache=False)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results = run(attrs.evolve(spec, output=tmp_path / str(threads)))
            assert [result.environment.threads for result in results] == [threads] * 2
            found.append([result.trials for result in results])
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
