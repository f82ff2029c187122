"""Spoiled files: whatever they hold, a documented exit code and one line that a terminal shows as it is."""

from __future__ import annotations

import io
import json
import types
from pathlib import Path

import attrs
import numpy as np
import pytest
from campaign import broken
from campaign.calls import call, cases
from evaluation import oracle, strategies
from hypothesis import given
from hypothesis import strategies as st
from kept import keep
from result_facts import resealed

from crbench.errors import CrbenchError
from crbench.results.outcomes import content_sha256

pytestmark = pytest.mark.campaign
GOLDEN = Path(__file__).parents[1] / "golden"
_DRAW = np.random.default_rng(0)
ARRAYS = {
    "features": _DRAW.normal(size=(6, 4)).astype(np.float32),
    "pids": np.array([0, 1, 2, 0, 1, 2]),
    "camids": np.array([0, 0, 0, 1, 1, 1]),
}
TABLE = "pid,camid,rate,key,role\n" + "".join(
    f"{row % 3},{row // 3},{1 + row % 2},image{row},{'query' if row < 3 else 'gallery'}\n" for row in range(6)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With good files, whose neighbours are spoiled."""
    place = tmp_path_factory.mktemp("files")
    np.savez(place / "good.npz", **ARRAYS)
    np.save(place / "bare.npy", ARRAYS["features"])
    return place


def check(arguments, codes):
    """Call a command that ends in one of these exit codes; its output."""
    ended = call(arguments)
    assert ended.code in codes, ended.err
    assert ended.err.count("crbench: error: ") == (ended.code != 0), ended.err
    return ended.out


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, **ARRAYS)
    return file.getvalue()


def tensors() -> bytes:
    from safetensors.numpy import save

    return save(ARRAYS)


@cases(25)
@given(content=broken.bytes_of(npz()) | broken.arrays_of(ARRAYS))
def test_feature_files(folder, content):
    (folder / "spoiled.npz").write_bytes(content)
    check(["evaluate", "--query", folder / "spoiled.npz", "--gallery", folder / "good.npz"], {0, 1, 3})


@cases(25)
@given(content=broken.bytes_of(tensors()))
def test_safetensors(folder, content):
    (folder / "spoiled.safetensors").write_bytes(content)
    check(["evaluate", "--query", folder / "good.npz", "--gallery", folder / "spoiled.safetensors"], {0, 1, 3})


@cases(25)
@given(content=broken.text_of(TABLE) | broken.bytes_of(TABLE.encode()))
def test_tables(folder, content):
    (folder / "spoiled.csv").write_bytes(content)
    sides = ["--query", folder / "bare.npy", "--gallery", folder / "bare.npy"]
    check(["evaluate", *sides, "--meta", folder / "spoiled.csv"], {0, 1, 3})


RESULTS = [(GOLDEN / name).read_text(encoding="utf-8") for name in ("result-2.json", "result-1.json")]


@cases(25)
@given(content=st.one_of(*[broken.json_of(text) | broken.bytes_of(text.encode()) for text in RESULTS]))
def test_results(folder, content):
    (folder / "spoiled.json").write_bytes(content)
    check(["leaderboard", folder / "spoiled.json"], {0, 3})


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A result with its outcomes, and the arrays of these."""
    path = keep(tmp_path_factory.mktemp("kept"), trials=(0,))
    with np.load(path.with_suffix(".npz")) as arrays:
        return path, {name: arrays[name] for name in arrays.files}


@cases(25)
@given(data=st.data())
def test_results_to_compare(kept, data):
    """Spoiled, and sealed again as if they had been written so: what they say reaches the comparison."""
    path, arrays = kept
    good = json.loads(path.read_text(encoding="utf-8"))
    if data.draw(st.booleans()):
        content = json.loads(data.draw(broken.json_of(json.dumps(good))))
    else:
        spoiled = data.draw(broken.arrays_of({**arrays, "pids": arrays["0.pids"]}))
        path.with_name("spoiled.npz").write_bytes(spoiled)
        with np.load(io.BytesIO(spoiled), allow_pickle=True) as found:
            digest = content_sha256({name: found[name] for name in found.files})
        content = good | {"outcomes": {"file": "spoiled.npz", "sha256": digest}}
    spoiled_path = path.with_name("spoiled.json")
    spoiled_path.write_text(json.dumps(resealed(content) if isinstance(content, dict) else content))
    check(["compare", path, spoiled_path, "--by", "camid"], {0, 2, 3, 5})
    check(["diff", spoiled_path, path], {0, 3})


@cases(25)
@given(data=st.data())
def test_parts_of_an_evaluation(folder, data):
    whole = folder / "part.npz"
    if not whole.exists():
        sides = ["--query", folder / "good.npz", "--gallery", folder / "good.npz"]
        check(["evaluate", *sides, "--set", "protocol.same_camera=keep", "--shard", "1/1", "-o", whole], {0})
    with np.load(whole) as arrays:
        good = {name: arrays[name] for name in arrays.files}
    assert "pids" in good
    (folder / "spoiled-part.npz").write_bytes(data.draw(broken.bytes_of(whole.read_bytes()) | broken.arrays_of(good)))
    check(["merge", folder / "spoiled-part.npz"], {0, 1, 3, 5})


CARD = {
    "dataset": "d",
    "pids": [1, 2],
    "pictures": ["ab"],
    "trial": 0,
    "unknown_origin": "x",
    "seed": 0,
    "device": "cpu",
    "threads": 1,
}


@cases(25)
@given(content=broken.json_of(json.dumps(CARD)) | broken.bytes_of(json.dumps(CARD).encode()))
def test_weights_cards(folder, content):
    from crbench.harness.cards import check_card, provenance
    from crbench.testing import random_features

    (folder / "weights.safetensors").write_bytes(tensors())
    (folder / "weights.json").write_bytes(content)
    rows = random_features(persons=2).rows
    trial = types.SimpleNamespace(
        index=0,
        split=types.SimpleNamespace(query=rows, gallery=rows),
        digest_of=dict.fromkeys(rows.keys.tolist(), "cd"),
    )
    job = types.SimpleNamespace(
        source=types.SimpleNamespace(info=types.SimpleNamespace(name="d")), dataset=types.SimpleNamespace(name="d")
    )
    try:
        check_card(folder / "weights.safetensors", job, trial)
        provenance(folder / "weights.safetensors", "0" * 64, "file", known=True)
    except CrbenchError as refusal:
        said = str(refusal)
    else:
        said = ""
    assert "\n" not in said


RULES = ("shot", "junk", "same_camera", "ties", "ap", "normalise", "distance", "ignored_cameras")


@cases(25)
@given(case=strategies.cases(shots=("multi",), normalise="none", distance="sqeuclidean"), kind=st.sampled_from("248"))
def test_good_files_are_scored_as_in_float64(folder, case, kind):
    # small integers: float64 is exact, so that the oracle's order is the true one
    query, gallery = (attrs.evolve(side, x=side.x.clamp(-3, 3).round()) for side in (case.query, case.gallery))
    for name, side in (("q", query), ("g", gallery)):
        columns = {"pids": side.rows.pids, "camids": side.rows.camids, "dims": side.dims}
        if side.rows.named:
            columns["keys"] = np.asarray(side.rows.keys, dtype=str)
        kept = {column: values for column, values in columns.items() if values is not None}
        np.savez(folder / f"{name}.npz", features=side.x.numpy().astype(f"f{kind}"), **kept)
    rules = [f"--set=protocol.{name}={getattr(case.protocol.scoring, name)}" for name in RULES]
    sides = ["--query", folder / "q.npz", "--gallery", folder / "g.npz"]
    out = check(["evaluate", *sides, *rules, "--format=json"], {0, 1})
    distances = oracle.distance_matrix(query, gallery, case.protocol)
    cmc, ap, _ = oracle.multi_shot(query.rows, gallery.rows, distances, case.protocol)
    assert bool(out) == np.isfinite(ap).any()
    if out:
        found = json.loads(out)
        np.testing.assert_allclose(found["mAP"], np.nanmean(ap), rtol=1e-12)
        np.testing.assert_allclose(found["cmc"], np.nanmean(cmc, axis=0), rtol=1e-12)
