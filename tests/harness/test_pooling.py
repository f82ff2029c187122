"""Tracklets: the mean of their images' features is ranked, and a result tells pooled lists from others."""

from __future__ import annotations

from itertools import product

import builders
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import crbench
from crbench.analysis.mixed import ALL, mixed_of
from crbench.harness import pooling
from crbench.harness.pooling import pooled
from crbench.records import Features, Samples

PEOPLE = range(1, 7)


def by_loop(x, groups, dims):
    """The same, group by group."""
    names = list(dict.fromkeys(groups))
    members = [[row for row, group in enumerate(groups) if group == name] for name in names]
    means = [x[rows].astype(np.float64).sum(axis=0) / len(rows) for rows in members]
    return np.array(means, dtype=np.float32), [min(dims[row] for row in rows) for rows in members]


@given(
    groups=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40),
    seed=st.integers(0, 99),
    at_once=st.integers(1, 9),
)
def test_it_is_the_mean_of_each_group(groups, seed, at_once):
    rng = np.random.default_rng(seed)
    x, dims = rng.normal(size=(len(groups), 5)).astype(np.float32), rng.integers(1, 6, len(groups))
    rows = Samples(keys=[str(row) for row in range(len(groups))], pids=[ord(group) for group in groups], groups=groups)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooling, "_ROWS", at_once)
        found = pooled(Features(x=torch.from_numpy(x), rows=rows, dims=torch.from_numpy(dims)))
    expected, lengths = by_loop(x, groups, dims)
    assert found.x.dtype == torch.float32
    assert np.array_equal(found.x.numpy(), expected)
    assert found.dims.tolist() == lengths
    assert [chr(pid) for pid in found.rows.pids] == list(dict.fromkeys(groups))
    assert found.rows.keys.tolist() == [str(groups.index(group)) for group in dict.fromkeys(groups)]


def test_without_groups_nothing_is_done():
    feats = Features(x=torch.ones(2, 3), rows=Samples(keys=["a", "b"], pids=[1, 1]))
    assert pooled(feats) is feats


@pytest.mark.parametrize("column", ["pids", "camids", "rates", "native_rates"])
def test_a_group_of_unlike_rows_is_refused(column):
    columns = {"pids": [1, 1], column: [1, 2]}
    rows = Samples(keys=["a", "b"], groups=["t", "t"], **columns)
    with pytest.raises(ValueError, match=f"group 't': {column} 1.* and 2.*; expected rows of one person"):
        rows.items()


@pytest.fixture
def folder(tmp_path):
    """Six people, two cameras, three images each: the first two are a tracklet; and a feature of each image."""
    rng = np.random.default_rng(1)
    people = tmp_path / "people"
    lines = []
    for pid, camid, number in product(PEOPLE, (1, 2), range(3)):
        builders.save(people / f"{pid}_{camid}_{number}.png")
        lines.append(f"{pid}_{camid}_{number}.png,{pid},{camid},{f'{pid}-{camid}' if number < 2 else ''}")
    (people / "manifest.csv").write_text("\n".join(["path,pid,camid,group", *lines]))
    keys = [line.partition(",")[0] for line in lines]
    features = np.array([[int(key[0]) == column for column in range(8)] for key in keys]) + rng.normal(
        size=(len(keys), 8)
    )
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "all.npz", features=features.astype(np.float32), keys=keys)
    return tmp_path


def run(folder, **fields):
    spec = crbench.RunSpec(
        dataset=f"folder:{folder / 'people'}",
        backbone=f"features:{folder / 'mine'}",
        protocol="standard",
        trial=0,
        output=folder / "results",
        **fields,
    )
    (result,) = crbench.run(spec)
    return result


def test_a_run_ranks_tracklets_as_evaluate_ranks_their_means(folder):
    result = run(folder)
    (trial,) = result.trials
    with np.load(folder / "mine" / "all.npz") as file:
        features = dict(zip(file["keys"].tolist(), file["features"], strict=True))
    with np.load(next((folder / "results").rglob("*.npz"))) as file:
        outcomes = {name: file[name] for name in file.files}
    keys = np.array([str(key) for name in outcomes if name.endswith("keys") for key in outcomes[name]])
    assert {key.split("_")[2] for key in keys} == {"0.png", "2.png"}
    asked = {tuple(map(int, key.split("_")[:2])) for key in keys}
    sides = {"query": asked, "gallery": {(pid, 3 - camid) for pid, camid in asked}}
    given = {}
    for side, seen in sides.items():
        items = [(pid, camid, some) for pid, camid in sorted(seen) for some in ((0, 1), (2,))]
        means = (
            np.mean([features[f"{pid}_{camid}_{n}.png"] for n in some], axis=0, dtype=np.float64)
            for pid, camid, some in items
        )
        x = [mean.astype(np.float32) for mean in means]
        pids, camids = ([item[place] for item in items] for place in (0, 1))
        given[side] = crbench.features_from_arrays(np.array(x), pids=pids, camids=camids)
    expected = crbench.evaluate(given["query"], given["gallery"], crbench.EvalProtocol.of(shot="multi"))
    assert trial.n_query == len(given["query"])
    assert trial.n_gallery == len(given["gallery"])
    assert trial.cmc == tuple(expected.scores.cmc.tolist())
    assert result.metrics["mAP"].mean == expected.scores["mAP"]


def test_pooled_results_are_others_than_those_of_images(folder):
    pooled_result = run(folder)
    text = (folder / "people" / "manifest.csv").read_text()
    (folder / "people" / "manifest.csv").write_text("\n".join(line.rpartition(",")[0] for line in text.splitlines()))
    images = run(folder)
    assert pooled_result.cell_id != images.cell_id
    assert pooled_result.trials[0].split != images.trials[0].split
    assert images.trials[0].n_query == 3 * pooled_result.trials[0].n_query // 2


def test_rates_of_a_gallery_of_tracklets_have_a_table(folder):
    spec = crbench.RunSpec(
        dataset=f"folder:{folder / 'people'}",
        backbone="random",
        protocol="mlr",
        trial=0,
        output=folder / "results",
        set={"protocol.gallery_rates": [1, 2], "protocol.shot": "multi"},
    )
    (result,) = crbench.run(spec)
    found = mixed_of(spec)
    assert sum(found.images.values()) == result.trials[0].n_gallery
    for rate, scores in result.by_rate.items():
        assert found.methods["none"][rate][ALL].value == scores["R1"].mean


@pytest.mark.parametrize(("camera", "refused"), [(-1, True), (1, False)])
def test_a_query_inside_a_gallery_tracklet_is_refused_where_no_camera_keeps_them_apart(tmp_path, camera, refused):
    """A tracklet goes by the name of its first image, so that nothing else would tell that the query is in it."""
    lines = []
    for pid in PEOPLE:
        for number in range(4):
            builders.save(tmp_path / "people" / f"{pid}_{number}.png")
        train = pid > 4
        place = {0: ("gallery", "t"), 1: ("gallery", "t"), 2: ("gallery", "u"), 3: ("query", "")}
        for number, (role, group) in place.items():
            # the image of the second tracklet is from elsewhere, so that every query has a match
            of = -1 if camera < 0 else camera + (number == 2)
            named = f"{pid}{group}" if group and not train else ""
            lines.append(f"{pid}_{number}.png,{pid},{of},{'train' if train else role},{named}")
        if not train:
            lines.append(f"{pid}_1.png,{pid},{camera},query,")
    (tmp_path / "people" / "manifest.csv").write_text("\n".join(["path,pid,camid,role,group", *lines]))
    spec = crbench.RunSpec(
        dataset=f"folder:{tmp_path / 'people'}",
        backbone="resnet-tiny",
        aligner="none",
        protocol="standard",
        trial=0,
        output=tmp_path / "results",
    )
    if not refused:
        assert crbench.run(spec)[0].status == "ok"
        return
    with pytest.raises(crbench.errors.DataError, match=r"1_1\.png .*first image is 1_0\.png.*find itself"):
        crbench.run(spec)
