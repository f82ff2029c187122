"""``--amp auto``: half precision only where it is faster and keeps ranks, measured once and said."""

from __future__ import annotations

import logging
import re

import attrs
import numpy as np
import pytest
import torch
from fakes import random_backbone

from crbench.api.context import RunContext
from crbench.api.entry import Entry
from crbench.config.run_spec import RunSpec
from crbench.harness import arithmetic
from crbench.harness.arithmetic import Choice
from crbench.harness.backbone import ReadyBackbone
from crbench.harness.run import run
from crbench.records import Encoded, Samples
from crbench.registry.discovery import Registered, installed
from crbench.registry.guard import Owner
from crbench.testing import RandomBackbone

OWNER = Owner(plugin="strangers", distribution="strangers", version="1")
CONTEXT = RunContext(logger=logging.getLogger("crbench"))


class FarFromOrigin(RandomBackbone):
    """A made network: what tells people apart is small beside a constant, and a half precision rounds it away."""

    def extract(self, batch):
        x = super().extract(batch).x.float()
        far = torch.nn.functional.linear(x, torch.eye(x.shape[1]), torch.full(x.shape[1:], 1000.0))
        return Encoded(x=far.float())


def far_from_origin(*, weights=None, device="cpu"):
    return FarFromOrigin()


@pytest.fixture
def said(caplog):
    """The lines on ``--amp auto``."""
    with caplog.at_level(logging.INFO, logger="crbench"):
        yield lambda: [line for line in caplog.messages if line.startswith("amp auto")]


def test_half_precision_that_changes_ranks_is_refused_and_it_is_said(spec, offer, said, monkeypatch):
    monkeypatch.setattr(arithmetic, "FASTER", 0.0)
    offer(Registered("backbone", Entry("far", far_from_origin), OWNER))
    (result,) = run(spec(backbone="far", amp="auto", trial=0), context=CONTEXT)
    assert result.extraction.amp == "off"
    (line,) = said()
    assert re.fullmatch(
        r"amp auto for far: float32; bf16 is \S+ times as fast but changes ranks: \d+ of 16 images .*", line
    )


def test_half_precision_that_is_faster_and_keeps_ranks_is_taken_once_measured(spec, said, monkeypatch, tmp_path):
    monkeypatch.setattr(arithmetic, "FASTER", 0.0)
    monkeypatch.setattr(arithmetic, "MOST_FLIPS", 1.0)
    (found,) = run(spec(backbone="random", amp="auto", trial=0), context=CONTEXT)
    (asked,) = run(spec(backbone="random", amp="bf16", trial=0, output=tmp_path / "other"))
    assert (found.extraction.amp, found.cell_id) == ("bf16", asked.cell_id)
    monkeypatch.setattr(arithmetic, "_measured", None)
    (again,) = run(spec(backbone="random", amp="auto", trial=0, resume=False), context=CONTEXT)
    assert again.extraction == found.extraction
    first, second = said()
    assert first == second
    assert re.fullmatch(r"amp auto for random: bf16, \S+ times as fast as float32; \d+ of 16 images .*", first)


def test_another_backbone_and_a_damaged_record_are_measured_anew(spec, monkeypatch, tmp_path):
    measured = []

    def note(*arguments):
        measured.append(arguments)
        return Choice(2.0, 128, 0, 0.9999)

    monkeypatch.setattr(arithmetic, "_measured", note)
    run(spec(backbone="random", amp="auto", trial=0))
    run(spec(backbone="random", amp="auto", trial=0, set={"backbone.seed": 1}))
    assert len(measured) == 2
    for file in (tmp_path / "cache" / "arithmetic").iterdir():
        file.write_text("{")
    run(spec(backbone="random", amp="auto", trial=0))
    run(spec(backbone="random", amp="auto", trial=0))
    assert len(measured) == 3
    run(spec(backbone="random", amp="auto", trial=0, cache=False))
    assert len(measured) == 4


def test_only_training_images_are_looked_at(spec, monkeypatch):
    looked_at = []
    original = arithmetic.ImageSample.of

    def noting(rows, *arguments, **options):
        looked_at.append(rows)
        return original(rows, *arguments, **options)

    monkeypatch.setattr(arithmetic.ImageSample, "of", noting)
    trials = []

    def ready(job, same, *arguments, **options):
        trials.extend(same)
        return ReadyBackbone(random_backbone(), None, {})

    monkeypatch.setattr(arithmetic, "provide_backbone", ready)
    run(spec(backbone="random", amp="auto", trial=0))
    (rows,), (trial,) = looked_at, trials
    assert set(rows.keys.tolist()) == set(trial.split.train.keys.tolist())
    assert len(np.unique(rows.keys)) == len(rows)
    assert not set(rows.keys.tolist()) & {*trial.split.query.keys.tolist(), *trial.split.gallery.keys.tolist()}


def test_a_backbone_that_fails_fails_its_cells_only(spec, caplog):
    results = run(spec(backbone=("nan", "random"), amp="auto", trial=0), context=CONTEXT)
    assert [result.status for result in results] == ["failed", "ok"]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (Choice(2.34, 128, 0, 0.99985), "bf16, 2.3 times as fast as float32; 128 of 128 images find the same person"),
        (Choice(2.34, 128, 99, 0.99985), "float32; bf16 is 2.3 times as fast but changes ranks: 29 of 128"),
        (Choice(1.06, 128, 0, 0.99985), "float32; bf16 is 1.1 times as fast, which is not worth it: 128 of"),
    ],
)
def test_what_is_said_of_a_choice(choice, told):
    assert str(choice).startswith(told)
    assert str(attrs.evolve(choice, least_cosine=0.5)).endswith("cosine at least 0.500000")


def test_nothing_that_is_published_extracts_in_half_precision():
    assert RunSpec(dataset="mlr-synthetic").amp == "off"
    entries = [found.entry for found in installed().entries if found.kind == "backbone"]
    assert entries
    assert not [
        entry.name for entry in entries for preset in entry.presets.values() if preset.get("amp", "off") != "off"
    ]


def test_images_are_some_of_each_of_some_people_at_one_rate_each():
    keys = np.array([f"{pid}_{image}" for pid in range(60) for image in range(pid % 7 + 1)])
    hr = Samples(keys=keys, pids=[int(key.split("_")[0]) for key in keys])
    rows = Samples.concat([hr, hr.at_rate(2.0), hr.at_rate(3.0)])
    found = arithmetic._sample(rows)
    assert len(found) == arithmetic.IMAGES == len(np.unique(found.keys))
    people, counts = np.unique(found.pids, return_counts=True)
    assert counts.max() == arithmetic.PER_PERSON
    assert sum(count == min(pid % 7 + 1, 4) for pid, count in zip(people, counts, strict=True)) >= len(people) - 1
    assert set(found.rates.tolist()) == {1.0, 2.0, 3.0}
    assert len(arithmetic._sample(rows.take(np.arange(3)))) == 3
