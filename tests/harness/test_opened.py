"""An opened trial: pairs of the same images in LR and HR, and what an aligner makes of them."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from crbench.api.context import RunContext
from crbench.api.entry import Entry
from crbench.errors import ConfigError
from crbench.harness.opened import OpenedTrial
from crbench.harness.ranked import ranked, ranked_trial
from crbench.harness.run import run
from crbench.registry.discovery import Registered
from crbench.registry.guard import UNKNOWN
from crbench.testing import RandomBackbone


@pytest.fixture
def opened(spec):
    return OpenedTrial.of(spec(aligner="shift"), context=RunContext())


@pytest.mark.parametrize("people", ["test", "train"])
def test_each_lr_image_stands_beside_its_hr_image(opened, people):
    hr = opened.hr_rows(people)
    pairs = opened.pairs(hr, training=people == "train")
    assert list(pairs) == [2, 3, 4]
    for rate, pair in pairs.items():
        assert (pair.source.rows.keys == hr.keys).all()
        assert (pair.target.rows.keys == hr.keys).all()
        assert set(pair.source.rows.rates) == {rate}
        assert set(pair.target.rows.rates) == {1}
        assert (pair.source.x != pair.target.x).any()


def test_test_people_are_those_who_are_asked_for(opened):
    split = opened.trial.split
    assert set(opened.hr_rows("test").pids) == set(split.query.pids)
    assert set(opened.hr_rows("train").pids).isdisjoint(split.query.pids)
    assert opened.people == "test"


def test_an_aligner_maps_the_lr_side_by_its_rate(opened):
    pairs = opened.pairs(opened.hr_rows("train"), training=True)
    shift = opened.job.aligners[-1]
    mapped = opened.mapped(shift, opened.runner(shift).fit(opened.rows), pairs)
    for rate, pair in pairs.items():
        offset = (pair.target.x - pair.source.x).mean(dim=0)
        assert np.allclose(mapped[rate].x, pair.source.x + offset, atol=1e-5)


def test_a_protocol_that_shrinks_nothing_has_no_pairs(spec):
    opened = OpenedTrial.of(spec(set={"protocol.query_rates": []}), context=RunContext())
    with pytest.raises(ConfigError, match="query_rates is empty"):
        opened.pairs(opened.hr_rows("test"), training=False)


def test_features_of_varying_length_have_no_pairs(spec, offer):
    class Varying(RandomBackbone):
        def extract(self, batch):
            return attrs.evolve(super().extract(batch), dims=torch.full((len(batch.rates),), 8))

    offer(Registered("backbone", Entry("varying", lambda *, weights=None, device="cpu": Varying()), UNKNOWN))
    opened = OpenedTrial.of(spec(backbone="varying"), context=RunContext())
    with pytest.raises(ConfigError, match="the length of the features of varying varies"):
        opened.pairs(opened.hr_rows("test"), training=False)


def test_ranking_an_opened_trial_gives_the_scores_of_the_run(spec):
    asked = spec(aligner="shift", baseline=False, trial=0)
    (result,) = run(asked)
    one, other = ranked_trial(asked, context=RunContext()), OpenedTrial.of(asked, context=RunContext())
    assert one.evaluation.scores.rank(1) == result.trials[0].cmc[0]
    again = ranked(other, other.job.aligners[0])
    assert (again.evaluation.scores.cmc == one.evaluation.scores.cmc).all()
