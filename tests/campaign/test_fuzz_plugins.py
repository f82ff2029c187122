"""Plugins that answer anything: a right score or a failure that names them, and never a traceback or a wrong score."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from campaign import strangers
from campaign.calls import call, cases
from campaign.strangers import Stranger, features, known, nothing_right, numbers
from evaluation import oracle
from hypothesis import given
from hypothesis import strategies as st

from crbench.records import Features
from crbench.registry import discovery
from crbench.registry.discovery import Registry
from crbench.results import load_results
from crbench.testing import TinyDataset

FEW = 6
"""Examples of each test in the short form."""
pytestmark = pytest.mark.campaign
PROTOCOL = TinyDataset().protocols["mlr"].changed(shot="multi")


@pytest.fixture(scope="module")
def stranger():
    """The plugin `fuzz`, beside those that are installed."""
    one = Stranger()
    real = discovery.discover()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            discovery, "discover", lambda **_: Registry(entries=real.entries + one.registered(), broken=real.broken)
        )
        discovery.installed.cache_clear()
        yield one
    discovery.installed.cache_clear()


def run(stranger, answers, *arguments):
    """A run of one cell on a new store, with answers by stage: its mAP, or None and what it said."""
    stranger.answers = answers
    with tempfile.TemporaryDirectory() as place:
        folders = ["--output", Path(place, "results"), "--cache-dir", Path(place, "cache")]
        rest = ["--trial", "0", "--set", "protocol.shot=multi", "--no-baseline", "--no-outcomes", "-q"]
        ended = call(["run", *arguments, *folders, *rest])
        assert ended.code in {0, 1, 2, 3, 4}, ended.err
        if ended.code == 0:
            (result,) = load_results([Path(place, "results")])
            return result.metrics["mAP"].mean, ended.err
    return None, ended.err


def sides(change=lambda x: x):
    """Query and gallery, with the known features after `change`."""
    split = TinyDataset().split(PROTOCOL, 0, root=Path())
    return [Features(x=change(known(rows)), rows=rows) for rows in (split.query, split.gallery)]


def mean_ap(query, gallery, distances):
    """The mAP in float64."""
    return np.nanmean(oracle.multi_shot(query.rows, gallery.rows, distances, PROTOCOL)[1])


def truth(change):
    """The mAP in float64 of the known features, after `change`."""
    query, gallery = sides(change)
    return mean_ap(query, gallery, oracle.distance_matrix(query, gallery, PROTOCOL))


NAMED = "strangers 1 (plugin 'fuzz')"


def names(said, answer):
    """Whether a message names the plugin, is what the plugin tells the user, or names a row without direction."""
    return NAMED in said or answer.text.startswith("DataError") or (answer.text == "zeros" and "is zero in its" in said)


@cases(FEW)
@given(answer=features)
def test_features_of_a_transform(stranger, answer):
    found, said = run(stranger, {"features": answer}, "--dataset", "fuzz", "--aligner", "fuzz")
    if answer.sound:
        assert found == pytest.approx(truth(answer), rel=1e-12), said
    else:
        assert found is None
        assert names(said, answer), said


@cases(FEW)
@given(stage=st.sampled_from(["fit", "transform"]), answer=nothing_right)
def test_what_is_no_transform(stranger, stage, answer):
    found, said = run(stranger, {stage: answer}, "--dataset", "fuzz", "--aligner", "fuzz")
    assert found is None
    assert names(said, answer), said


@pytest.fixture(scope="module")
def honest(stranger):
    """The mAP of the backbone and the data set as they are."""
    found, _ = run(stranger, {}, "--dataset", "fuzz", "--backbone", "fuzz")
    assert 0 < found < 1
    return found


@cases(FEW)
@given(answer=features)
def test_features_of_a_backbone(stranger, honest, answer):
    found, said = run(stranger, {"features": answer}, "--dataset", "fuzz", "--backbone", "fuzz")
    if answer.exact:
        assert found == honest, said
    elif not answer.sound or answer.text in ("twice", "one column less"):  # it had said another number of columns
        assert found is None
        assert names(said, answer), said
    else:
        assert found is not None, said


@cases(FEW)
@given(stage=st.sampled_from(["build", "extract"]), answer=nothing_right)
def test_what_is_no_backbone(stranger, stage, answer):
    found, said = run(stranger, {stage: answer}, "--dataset", "fuzz", "--backbone", "fuzz")
    assert found is None
    assert names(said, answer), said


@cases(FEW)
@given(stage=st.sampled_from(["build", "split", "read", "digests"]), answer=nothing_right)
def test_what_is_no_data_set(stranger, stage, answer):
    found, said = run(stranger, {stage: answer}, "--dataset", "fuzz", "--backbone", "fuzz")
    assert found is None
    assert names(said, answer), said


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder of two files with the known features."""
    folder = tmp_path_factory.mktemp("rows")
    for name, side in zip(("query", "gallery"), sides(), strict=True):
        np.savez(folder / f"{name}.npz", features=side.x.numpy(), pids=side.rows.pids, camids=side.rows.camids)
    return folder


def evaluate(stranger, answers, folder, *arguments):
    """An evaluation: its JSON, or None, and what it said."""
    stranger.answers = answers
    sides = ["--query", folder / "query.npz", "--gallery", folder / "gallery.npz", "--format", "json"]
    ended = call(["evaluate", *sides, *arguments])
    assert ended.code in {0, 1, 2, 3, 4}, ended.err
    assert ended.err.count("crbench: error: ") == (ended.code != 0), ended.err
    return (json.loads(ended.out) if ended.code == 0 else None), ended.err


def held(values):
    """The numbers f64 that an answer holds, if it holds such and nothing else."""
    if isinstance(values, np.ma.MaskedArray):
        return None
    try:
        array = np.asarray(values)
        return array.astype(np.float64) if array.dtype.kind in "fiub" else None
    except (ValueError, TypeError, OverflowError):
        return None


@cases(FEW)
@given(answer=numbers | nothing_right)
def test_distances(stranger, answer):
    found, said = run(stranger, {"distance": answer}, "--dataset", "fuzz", "--set", "protocol.distance=fuzz")
    if found is None:
        assert names(said, answer), said
        assert answer.text not in ("as they are", "float32", "tensor"), said
        return
    query, gallery = sides()
    distances = held(answer(strangers.distances(query, gallery)))
    assert distances is not None, answer
    assert found == pytest.approx(mean_ap(query, gallery, distances), rel=1e-12)


@cases(FEW)
@given(answer=numbers | nothing_right)
def test_scores(stranger, files, answer):
    found, said = evaluate(stranger, {"score": answer}, files, "--metric", "fuzz-score")
    if found is None:
        assert names(said, answer), said
        assert answer.text not in ("as they are", "float32"), said
        return
    values = held(answer(stranger.right["score"]))
    assert values is not None, answer
    assert found["fuzz-score"] == pytest.approx(values.mean(), rel=1e-12)
