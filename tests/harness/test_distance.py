"""A plugin's distance in a run: what it makes of two rows must not depend on the rows beside them."""

from __future__ import annotations

import pytest
import torch

from crbench.api.entry import Entry
from crbench.harness.run import run
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.report import render

OWNER = Owner(plugin="measures", distribution="crbench-measures", version="1")


def cosine(query, gallery):
    return -torch.nn.functional.normalize(query.x) @ torch.nn.functional.normalize(gallery.x).T


def centred(query, gallery):
    return torch.cdist(query.x - query.x.mean(dim=0), gallery.x)


def ranked(query, gallery):
    return -(query.x @ gallery.x.T).softmax(dim=1)


def beyond(query, gallery):
    found = torch.cdist(query.x, gallery.x)
    return found.masked_fill(found > found.new_tensor(1.0), torch.inf)


@pytest.fixture
def measured(spec, offer):
    def call(distance, **about):
        offer(Registered("distance", Entry("own", lambda: distance, **about), OWNER))
        (result,) = run(spec(trial=0, baseline=False, set={"protocol.distance": "own"}))
        return result

    return call


@pytest.mark.parametrize("distance", [centred, ranked, lambda q, g: cosine(q, g) + torch.rand(1)])
def test_a_distance_that_depends_on_other_rows_or_draws_is_refused(measured, distance):
    result = measured(distance)
    assert result.status == "failed"
    assert "crbench-measures 1 (plugin 'measures') failed at distance: that of two rows depends on" in result.error


@pytest.mark.parametrize("distance", [cosine, beyond])
def test_others_are_taken(measured, distance):
    assert measured(distance).status == "ok"


def test_one_that_says_so_is_taken_and_the_table_says_it(measured):
    result = measured(ranked, transductive=True)
    assert result.status == "ok"
    assert "distance own is transductive: it depends on the other test images" in render([result])


def test_a_sparse_one_is_named(measured):
    assert (
        "failed at distance: ValueError: it gave a sparse tensor"
        in measured(lambda q, g: cosine(q, g).to_sparse()).error
    )
