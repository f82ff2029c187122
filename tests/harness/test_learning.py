"""Training images go through the network only where an aligner of the run learns from them."""

from __future__ import annotations

import attrs
import pytest

from crbench.api.entry import Entry
from crbench.harness.run import run
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner

TEST, TRAIN = 16, 16 * (1 + 3)
"""Images of a trial of ``tiny``; the training images at three rates, too."""

OWNER = Owner(plugin="shop", distribution="crbench-shop", version="1")


@attrs.frozen
class Unchanged:
    """Learns nothing; says so by what it is given."""

    answer: object = False

    @property
    def learns(self):
        return self.answer

    def fit(self, train, *, run):
        assert self.answer or len(train.source) == len(train.target) == 0
        return lambda feats: feats


@pytest.fixture
def unchanged(offer):
    offer(Registered("aligner", Entry("unchanged", Unchanged), OWNER))


def extracted(spec, *aligners, **values):
    results = run(spec(trial=0, aligner=aligners, baseline=False, **values))
    (count,) = {result.timings["extract"].count for result in results}
    return count, {result.method.aligner.name: result for result in results}


def test_only_test_rows_are_extracted_where_nothing_is_learned(spec, unchanged):
    count, results = extracted(spec, "none", "unchanged")
    none = results["none"]
    assert count == sum(trial.n_query + trial.n_gallery for trial in none.trials) == TEST
    assert results["unchanged"].trials == none.trials
    assert none.timings["transform"].count > 0


def test_one_aligner_that_learns_needs_them_all_and_changes_no_score_of_the_others(spec, unchanged, tmp_path):
    alone = extracted(spec, "none")[1]["none"]
    count, results = extracted(spec, "none", "shift", output=tmp_path / "more", cache_dir=tmp_path / "other")
    assert count == TEST + TRAIN
    assert results["none"].trials == alone.trials


def test_the_rows_that_were_left_out_are_extracted_when_somebody_learns_from_them(spec, tmp_path):
    extracted(spec, "none")
    more, results = extracted(spec, "shift")
    assert more == TRAIN
    anew = extracted(spec, "shift", cache_dir=tmp_path / "other", resume=False)[1]["shift"]
    assert results["shift"].trials == anew.trials


def test_match_rate_learns_what_its_inner_aligner_does(spec):
    count = extracted(spec, "match-rate")[0]
    assert TEST < count < TRAIN, "the gallery again at three rates"
    assert extracted(spec, "match-rate", set={"match-rate.inner": "none"})[0] == 0
    assert extracted(spec, "match-rate", set={"match-rate.inner": "mean-shift"})[0] == TRAIN


def test_an_answer_that_is_none_names_the_plugin(spec, offer):
    offer(Registered("aligner", Entry("unsure", lambda: Unchanged("perhaps")), OWNER))
    (result,) = run(spec(trial=0, aligner="unsure", baseline=False))
    assert result.status == "failed"
    assert "crbench-shop 1 (plugin 'shop') failed at learns: expected True or False, got 'perhaps'" in result.error
