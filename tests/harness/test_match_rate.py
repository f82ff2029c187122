"""The aligner match-rate in a run, against cosines that are added here in float64."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from crbench_baselines.procrustes import Procrustes
from fakes import Hard

from crbench.api.context import RunContext
from crbench.api.entry import Entry
from crbench.api.pairing import TrainFeatures
from crbench.data.degrade import degrade
from crbench.data.preprocess import Normaliser, image_array
from crbench.errors import ConfigError
from crbench.harness.run import run
from crbench.protocol import ImageRules
from crbench.records import Batch, Features, Samples, TestFeatures
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.results.outcomes import read_outcomes
from crbench.testing import RandomBackbone

RATES = (2.0, 3.0, 4.0)


def encoded(rows: Samples) -> Features:
    """Features of rows by the backbone ``random``, without the harness."""
    backbone = RandomBackbone()
    images = [Hard().read(key, root=None).image for key in rows.keys.tolist()]
    shrunk = [
        image if rate == 1 else degrade(image, rate, ImageRules())
        for image, rate in zip(images, rows.rates, strict=True)
    ]
    arrays = np.stack([image_array(image, backbone.preprocess) for image in shrunk])
    inputs = Normaliser(backbone.preprocess, "cpu")(torch.from_numpy(arrays))
    return Features(backbone.extract(Batch(inputs, rows.rates, rows.camids)).x, rows)


def unit(x: Any) -> np.ndarray:
    x = np.asarray(x, dtype=float)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def expected_ranks(inner: bool, halves: str, rates: str, centre: bool = False) -> list[int]:
    """Ranks of all matches, query by query: more negatives that are as near or nearer, more matches that are nearer."""
    split = Hard().split(Hard().protocols["mlr"], 0, root=None)
    query, gallery = encoded(split.query), encoded(split.gallery)
    train = [encoded(split.train.at_rate(rate)) for rate in RATES]
    fitted = Procrustes().fit(
        TrainFeatures(
            source=Features(torch.cat([part.x for part in train]), Samples.concat([part.rows for part in train])),
            target=encoded(split.train),
        ),
        run=RunContext(),
    )
    means = {rate: part.x.numpy().mean(axis=0) * centre for rate, part in zip(RATES, train, strict=True)}
    hr = encoded(split.train).x.numpy().mean(axis=0) * centre
    first = fitted(TestFeatures.of(query)).x.numpy() - hr if inner else None
    shrunk = {rate: unit(encoded(split.gallery.at_rate(rate)).x.numpy() - means[rate]) for rate in RATES}
    found: list[int] = []
    for i, rate in enumerate(split.query.rates.tolist()):
        own = shrunk[rate] if rates == "query" else unit(np.mean(list(shrunk.values()), axis=0))
        raw = query.x[[i]].numpy() - means[rate]
        cosines = unit(raw) @ own.T
        if halves == "both":
            cosines = cosines + unit(raw if first is None else first[[i]]) @ unit(gallery.x.numpy() - hr).T
        same = split.gallery.pids == split.query.pids[i]
        valid = ~(same & (split.gallery.camids == split.query.camids[i]))
        matches, others = np.sort(-cosines[0][valid & same]), -cosines[0][valid & ~same]
        found += [int((others <= distance).sum()) + place for place, distance in enumerate(matches, 1)]
    return found


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize(
    ("inner", "halves", "rates"),
    [(False, "both", "query"), (True, "both", "query"), (False, "matched", "query"), (True, "both", "all")],
)
def test_it_ranks_as_both_cosines_added(spec, inner, halves, rates, centre):
    changes = {"protocol.shot": "multi", "match-rate.halves": halves, "match-rate.rates": rates}
    changes["match-rate.centre"] = centre
    if inner:
        changes["match-rate.inner"] = "procrustes"
    none, result = run(spec(aligner="match-rate", trial=0, set=changes))
    (file,) = spec().output.rglob(result.outcomes.file)
    (outcomes,) = read_outcomes(file.parent, result)
    ranks = outcomes.outcomes.ranks
    assert ranks.ranks.tolist() == expected_ranks(inner, halves, rates, centre)
    assert result.trials != none.trials


def test_what_the_inner_aligner_is_counts(spec):
    asked = [{}, {"match-rate.inner": "ridge"}, {"match-rate.inner": "ridge", "match-rate.inner.alpha": 1e-6}]
    results = [run(spec(aligner="match-rate", trial=0, baseline=False, set=some))[0] for some in asked]
    assert len({result.cell_id for result in results}) == 3
    assert results[2].method.aligner.changed == {"inner": "ridge", "inner.alpha": 1e-6}
    assert results[2].method.aligner.parameters["inner.scope"] == "per_rate"
    again = run(spec(aligner="match-rate", trial=0, baseline=False, resume=False, set=asked[2]))[0]
    assert again.timings["fit"].cached, "the fit of the inner aligner is kept"
    assert again.trials == results[2].trials


def test_an_inner_aligner_that_cannot_be_kept_is_fitted_again(spec, offer):
    class Plain:
        def fit(self, train, *, run):
            return lambda feats: feats

    offer(
        Registered("aligner", Entry("plain", Plain), Owner(plugin="strangers", distribution="strangers", version="1"))
    )
    asked = spec(aligner="match-rate", trial=0, baseline=False, resume=False, set={"match-rate.inner": "plain"})
    first, again = run(asked)[0], run(asked)[0]
    assert not again.timings["fit"].cached
    assert first.trials == again.trials
    assert again.method.aligner.parameter_count is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner": "procustes"}, "did you mean 'procrustes'"),
        ({"inner": 3}, "aligner 'match-rate': inner = 3 names no aligner"),
        ({"inner.alpha": 3}, "inner = None names no aligner, so it has no parameters"),
        ({"inner": "ridge", "inner.alpa": 3}, "aligner 'ridge' has no parameter 'alpa'"),
        ({"inner": "match-rate"}, "inner: match-rate cannot hold itself"),
        ({"inner": "ridge", "halves": "matched"}, "inner: halves=matched leaves the query as it is"),
        ({"halves": "none"}, "halves: none is not one of both, matched"),
        ({"weights": "learned", "halves": "matched"}, "weights: learned ones are of two halves, by rate"),
        ({"weights": "learned", "rates": "all"}, "weights: learned ones are of two halves, by rate"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(spec, changes, message):
    with pytest.raises(ConfigError, match=message):
        run(spec(aligner="match-rate", trial=0, set={f"match-rate.{name}": value for name, value in changes.items()}))


def test_learned_weights_are_kept_with_the_fit_and_change_the_ranks(spec, caplog):
    asked = {"match-rate.weights": "learned", "match-rate.centre": True, "match-rate.inner": "ridge"}
    context = RunContext(logger=logging.getLogger("crbench"))
    with caplog.at_level(logging.INFO, "crbench"):
        first = run(spec(aligner="match-rate", trial=0, baseline=False, set=asked), context=context)[0]
    assert [text for text in caplog.messages if "weight of the first half, learned on training people" in text]
    again = run(spec(aligner="match-rate", trial=0, baseline=False, resume=False, set=asked))[0]
    assert again.timings["fit"].cached
    fresh = run(spec(aligner="match-rate", trial=0, baseline=False, resume=False, cache=False, set=asked))[0]
    assert first.trials == again.trials == fresh.trials
    ridge = run(spec(aligner="ridge", trial=0, baseline=False))[0].method.aligner.parameter_count
    centres, weights = 16 * (1 + len(RATES)), len(RATES)
    assert first.method.aligner.parameter_count == ridge + centres + weights
