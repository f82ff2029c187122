"""``crbench evaluate``: every way to give features leads to the same scores."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import savemat

from crbench import EvalProtocol, evaluate, features_from_arrays
from crbench.cli import invoke

# Worked out by hand, cosine distance. Query 0 (person 1): the order is person 1, 2, 1, AP = (1 + 2/3) / 2. Query 1
# (person 2): 1 is nearest, AP = 1/2. Query 2 (person 9) has no match.
QUERY = {
    "features": np.array([[1.0, 0.0], [0.8, 0.8], [0.0, 1.0]]),
    "pids": np.array([1, 2, 9]),
    "camids": np.array([1, 1, 2]),
    "rates": np.array([2.0, 4.0, 4.0]),
}
GALLERY = {
    "features": np.array([[1.0, 0.1], [0.5, 0.5], [1.0, 0.6], [2.0, 0.0]]),
    "pids": np.array([1, 1, 2, 1]),
    "camids": np.array([2, 2, 3, 1]),
}
HEADER = ["pid", "camid", "rate", "role", "hat"]


def table():
    lines = [(p, c, r, "query", "yes" if p == 1 else "no") for p, c, r in zip(*list(QUERY.values())[1:], strict=True)]
    return lines + [(p, c, 1, "gallery", "") for p, c in zip(*list(GALLERY.values())[1:], strict=True)]


def write_csv(path, header, lines):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])


def as_npz(folder):
    np.savez(folder / "q.npz", **QUERY, other=np.array([None]))  # what is not ours is not looked at
    np.savez_compressed(folder / "g.npz", **GALLERY)
    return ["q.npz", "g.npz"]


def as_safetensors(folder):
    for name, arrays in (("q", QUERY), ("g", GALLERY)):
        save_file({key: torch.from_numpy(array) for key, array in arrays.items()}, folder / f"{name}.safetensors")
    return ["q.safetensors", "g.safetensors"]


def as_npy_and_table(folder):
    np.save(folder / "q.npy", QUERY["features"])
    np.save(folder / "g.npy", GALLERY["features"])
    write_csv(folder / "meta.csv", HEADER, table())
    return ["q.npy", "g.npy", "--meta", "meta.csv"]


def as_npy_and_their_tables(folder):
    arguments = as_npy_and_table(folder)[:2]
    for name, role in (("q", "query"), ("g", "gallery")):
        write_csv(folder / f"{name}.csv", HEADER, [line for line in table() if line[3] == role])
    return arguments


def as_one_file_in_the_manner_of_oml(folder):
    np.save(folder / "all.npy", np.concatenate([QUERY["features"], GALLERY["features"]]))
    header = ["path", "label", "split", "is_query", "is_gallery", "camera", "rate"]
    lines = [
        (f"{i}.jpg", p, "validation", r == "query", r == "gallery", c, rate)
        for i, (p, c, rate, r, _) in enumerate(table())
    ]
    write_csv(folder / "df.csv", header, lines)
    return ["all.npy", "all.npy", "--meta", "df.csv"]


def as_matlab_would(folder):
    doubles = {key: array.astype(float).reshape(-1, 1) for key, array in QUERY.items() if key != "features"}
    np.savez(folder / "q.npz", features=np.asfortranarray(QUERY["features"]), **doubles)
    np.savez(folder / "g.npz", **GALLERY)
    return ["q.npz", "g.npz"]


def as_one_mat_file_in_the_manner_of_layumi(folder):
    names = {"features": "f", "pids": "label", "camids": "cam", "rates": "rates"}
    sides = {"query": QUERY, "gallery": GALLERY}
    savemat(
        folder / "both.mat",
        {f"{side}_{names[key]}": array for side, own in sides.items() for key, array in own.items()},
    )
    return ["both.mat", "both.mat"]


WAYS = [
    as_npz,
    as_safetensors,
    as_npy_and_table,
    as_npy_and_their_tables,
    as_one_file_in_the_manner_of_oml,
    as_one_mat_file_in_the_manner_of_layumi,
]


def run(arguments, capsys):
    query, gallery, *more = arguments
    assert invoke(["evaluate", "--query", query, "--gallery", gallery, *more]) == 0
    return capsys.readouterr()


@pytest.mark.parametrize("way", [*WAYS, as_matlab_would])
def test_all_ways_give_the_scores_worked_out_by_hand(way, tmp_path, capsys):
    found = json.loads(run([*way(tmp_path), "--format", "json"], capsys).out)
    assert found["cmc"] == [0.5] + [1.0] * 49
    assert found["mAP"] == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert found["mINP"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert (found["n_query"], found["n_valid"]) == (3, 2)
    assert found["by_rate"]["2"]["cmc"] == [1.0] * 50
    assert found["by_rate"]["4"]["n_query"] == 2
    assert found["fingerprint"] == EvalProtocol.of(**found["protocol"]).fingerprint()
    assert found["protocol"]["shot"] == "multi"


def test_the_same_as_the_library(tmp_path, capsys):
    rng = np.random.default_rng(0)
    arrays = [{"features": rng.normal(size=(n, 5)), "pids": rng.integers(0, 4, n)} for n in (10, 30)]
    arrays[1]["features"][:10] = arrays[1]["features"][10:20]  # ties, which no product decides
    for name, side in zip("qg", arrays, strict=True):
        np.savez(tmp_path / f"{name}.npz", **side)
    found = json.loads(run(["q.npz", "g.npz", "--format", "json", "--set", "protocol.shot=single:exact"], capsys).out)
    query, gallery = (features_from_arrays(side["features"], side["pids"]) for side in arrays)
    result = evaluate(query, gallery, EvalProtocol.of(shot="single:exact"))
    assert found["cmc"] == result.scores.cmc.tolist()
    assert found["mAP"] is None
    assert found["ambiguous"] == result.ambiguous > 0


def test_the_device_can_be_chosen(tmp_path, capsys):
    query, gallery = as_npz(tmp_path)
    chosen = run([query, gallery, "--format", "json", "--device", "cpu", "--engine", "numba"], capsys).out
    assert chosen == run([query, gallery, "--format", "json"], capsys).out
    assert invoke(["evaluate", "--query", query, "--gallery", gallery, "--device", "nowhere"]) == 2
    assert "device 'nowhere' cannot be used" in capsys.readouterr().err


def test_an_engine_for_the_cpu_keeps_to_it_where_there_is_a_gpu(tmp_path, capsys, monkeypatch):
    files = as_npz(tmp_path)
    whole = json.loads(run([*files, "--format", "json"], capsys).out)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for option in (["--engine", "numba"], ["--engine", "reference"], ["--precision", "int8"]):
        found = json.loads(run([*files, "--format", "json", *option], capsys).out)
        assert (found["cmc"], found["mAP"]) == (whole["cmc"], whole["mAP"])


def test_groups_verification_and_the_table(tmp_path, capsys):
    said = run([*as_npy_and_table(tmp_path), "--group-by", "hat", "--fpr", "0,0.125"], capsys)
    rows = {" ".join(line.split()[:2]): line.split() for line in said.out.splitlines()}
    assert rows["hat yes"][2] == "100.00"
    assert rows["hat no"][-2:] == ["2", "1"]
    assert "TPR at FPR 0: 0.00" in said.out
    assert "TPR at FPR 0.125: 66.67" in said.out
    assert "defaults taken: shot=multi" in said.err


def test_scores_per_query(tmp_path, capsys):
    run([*as_npz(tmp_path), "--per-query", "out.csv", "--ranks", "2,1"], capsys)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["R1"] for row in rows] == ["1.0", "0.0", ""]
    assert [row["R2"] for row in rows] == ["1.0", "1.0", ""]
    assert not {"R5", "R10", "R20"} & rows[0].keys()
    assert [row["has_match"] for row in rows] == ["1", "1", "0"]
    assert float(rows[0]["mAP"]) == pytest.approx(5 / 6)


def test_ranks_are_a_matter_of_display(tmp_path, capsys):
    files = as_npz(tmp_path)
    plain, other = (run([*files, *more], capsys).out for more in ([], ["--ranks", "50,2,2"]))
    assert [name for name in plain.splitlines()[0].split() if name[0] == "R"] == ["R1", "R5", "R10", "R20"]
    assert [name for name in other.splitlines()[0].split() if name[0] == "R"] == ["R2", "R50"]
    assert plain.splitlines()[-1] == other.splitlines()[-1], "one fingerprint"
    assert "ranks" not in json.loads(run([*files, "--format", "json"], capsys).out)["protocol"]
    query, gallery = files
    assert invoke(["evaluate", "--query", query, "--gallery", gallery, "--set", "protocol.ranks=[3]"]) == 2
    assert "protocol has no rule 'ranks'" in capsys.readouterr().err


@pytest.mark.parametrize("ranks", ["0", "51", "1,", "", "1.5", "+1", " 1", "1_0", "\N{ARABIC-INDIC DIGIT ONE}"])
@pytest.mark.parametrize("command", [["evaluate", "--query", "q.npz", "--gallery", "g.npz"], ["merge", "part.npz"]])
def test_what_is_no_list_of_ranks_is_refused(ranks, command, capsys):
    assert invoke([*command, "--ranks", ranks]) == 2
    assert f"{ranks!r} is not a list of ranks from 1 to 50; expected e.g. 1,5,10,20" in capsys.readouterr().err


def test_unknown_cameras_are_mentioned(tmp_path, capsys):
    for name, side in (("q", QUERY), ("g", GALLERY)):
        np.savez(tmp_path / f"{name}.npz", features=side["features"], pids=side["pids"])
    assert "cameras of the query and gallery are unknown" in run(["q.npz", "g.npz"], capsys).err


@pytest.mark.parametrize("tool", ["torchreid", "torchreid-cuhk03", "fastreid", "transreid", "layumi"])
def test_every_tool_can_be_asked_for(tool, tmp_path, capsys):
    found = json.loads(run([*as_npz(tmp_path), "--as", tool, "--format", "json"], capsys).out)
    assert found["mAP"] is not None


@pytest.mark.parametrize(("camera", "said"), [(2, True), (1, False)])
def test_a_query_in_its_own_gallery_is_mentioned(camera, said, tmp_path, capsys):
    gallery = {key: array.copy() for key, array in GALLERY.items()}
    gallery["features"][3], gallery["camids"][3] = QUERY["features"][0], camera  # query 0 was taken by camera 1
    np.savez(tmp_path / "q.npz", **QUERY)
    np.savez(tmp_path / "g.npz", **gallery)
    assert ("1 queries have a match with the very same" in run(["q.npz", "g.npz"], capsys).err) == said


def test_re_ranking(tmp_path, capsys):
    found = json.loads(run([*as_npz(tmp_path), "--rerank", "k1=2,k2=1,lambda=1", "--format", "json"], capsys).out)
    assert found["protocol"]["rerank"] == "k1=2,k2=1,lambda=1.0"
    assert found["mAP"] == pytest.approx((5 / 6 + 1 / 2) / 2), "lambda 1 leaves the order alone"
    assert found["fingerprint"] != json.loads(run([*as_npz(tmp_path), "--format", "json"], capsys).out)["fingerprint"]


@pytest.mark.parametrize("shot", ["multi", "single:exact", "single:mc:5"])
def test_shards_and_merge_print_what_the_whole_prints(shot, tmp_path, capsys):
    rules = ["--set", f"protocol.shot={shot}", "--group-by", "rate", "--format", "json", "--per-query"]
    whole = json.loads(run([*as_npz(tmp_path), *rules, "whole.csv"], capsys).out)
    for number in (1, 2):
        said = run([*as_npz(tmp_path), *rules[:2], "--shard", f"{number}/2", "-o", f"part{number}.npz"], capsys)
        assert said.out == ""
        assert f"part {number}/2 with {number} of 3 queries" in said.err
    assert invoke(["merge", "part2.npz", "part1.npz", *rules[2:], "merged.csv"]) == 0
    assert json.loads(capsys.readouterr().out) == whole
    assert (tmp_path / "merged.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_groups_of_rates_are_named_as_in_results(tmp_path, capsys):
    """float32 holds 7/3 as 2.3333332538604736."""
    np.savez(tmp_path / "q.npz", **{**QUERY, "rates": np.array([10, 7 / 3, 2.3333334])})
    np.savez(tmp_path / "g.npz", **GALLERY)
    found = json.loads(run(["q.npz", "g.npz", "--group-by", "rate", "--format", "json"], capsys).out)
    # the third query, at 2.3333334, has no match
    assert {name: group["n_query"] for name, group in found["by_group"].items()} == {"2.33333": 2, "10": 1}


def test_a_rate_that_results_cannot_name_is_refused(tmp_path, capsys):
    as_npz(tmp_path)
    np.savez(tmp_path / "far.npz", **{**QUERY, "rates": np.array([2.0, 4.0, 1e7])})
    assert invoke(["evaluate", "--query", "far.npz", "--gallery", "g.npz", "--name", "far", "-o", "far.json"]) == 3
    assert "far.npz: every rate must be finite and at least 1 (1 = HR), at most 9999" in capsys.readouterr().err


def test_a_missing_part_is_refused(tmp_path, capsys):
    run([*as_npz(tmp_path), "--shard", "1/2", "-o", "part1.npz"], capsys)
    assert invoke(["merge", "part1.npz"]) == 5
    assert "part 2/2 is missing" in capsys.readouterr().err
    assert invoke(["merge", "part1.npz", "part1.npz"]) == 5
    assert "part 1/2 is given twice" in capsys.readouterr().err
    (tmp_path / "part2.npz").write_bytes((tmp_path / "part1.npz").read_bytes()[:400])
    assert invoke(["merge", "part1.npz", "part2.npz"]) == 3
    assert "part2.npz: not a part of an evaluation, or cut short" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"), [(["--engine", "torch"], "8 to 40 times"), (["--precision", "bf16"], "made of float32")]
)
def test_what_is_slow_is_said_in_one_line(option, said, tmp_path, capsys):
    assert invoke(["evaluate", "--query", as_npz(tmp_path)[0], "--gallery", "g.npz", *option]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if said in line]
    assert len(lines) == 1
    assert lines[0].startswith("crbench: evaluation: ")


OML = [(3, "a"), (3, "b"), (4, "c"), (4, "d"), (5, "e")]
"""Person and image of each row; all rows are query and gallery at once, as in OpenMetricLearning's tables."""


def everybody(folder, *, paths):
    """Features whose nearest other row is another person's for the first row only."""
    np.save(folder / "all.npy", np.array([[1.0, 0.1], [1.0, 0.3], [1.0, 0.0], [1.0, -0.05], [0.0, 1.0]]))
    columns = {"label": [p for p, _ in OML], **({"path": [name for _, name in OML]} if paths else {})}
    header = [*columns, "is_query", "is_gallery"]
    write_csv(folder / "all.csv", header, list(zip(*columns.values(), [True] * 5, [True] * 5, strict=True)))
    return ["all.npy", "all.npy", "--meta", "all.csv", "--format", "json"]


@pytest.mark.parametrize("paths", [True, False])
def test_rows_that_are_query_and_gallery_do_not_meet_themselves(paths, tmp_path, capsys):
    # Row 0 meets row 2 of another person first. Rows 1, 2 and 3 meet their own person first. Row 4 has no match.
    found = run(everybody(tmp_path, paths=paths), capsys)
    scores = json.loads(found.out)
    assert (scores["n_query"], scores["n_valid"]) == (5, 4)
    assert scores["cmc"][0] == 0.75
    assert "5 queries are in the gallery too, as the same image; they do not meet themselves" in found.err
    assert "is the query itself in the gallery" not in found.err


def test_the_same_archive_as_query_and_gallery(tmp_path, capsys):
    np.savez(tmp_path / "all.npz", features=[[1.0, 0.1], [1.0, 0.3], [1.0, 0.0]], pids=[3, 3, 4])
    assert json.loads(run(["all.npz", "all.npz", "--format", "json"], capsys).out)["cmc"][0] == 0.5


def offset(folder):
    """Features 1000 + noise in float64; float32 does not have the digits of the noise."""
    rng = np.random.default_rng(0)
    sides = {"q": (40, np.arange(40) % 10), "g": (160, np.arange(160) % 10)}
    persons = rng.normal(size=(10, 16))
    for name, (count, pids) in sides.items():
        x = 1000 + 1e-5 * (persons[pids] + 2 * rng.normal(size=(count, 16)))
        np.savez(folder / f"{name}.npz", features=x, pids=pids)
    return ["q.npz", "g.npz", "--set", "protocol.distance=euclidean", "--set", "protocol.normalise=none"]


def curve(x, pids, y, others):
    """The multi-shot CMC, from all distances."""
    distances = ((x[:, None] - y) ** 2).sum(axis=2)
    same = pids[:, None] == others
    nearest = np.where(same, distances, np.inf).min(axis=1)
    ahead = (~same & (distances <= nearest[:, None])).sum(axis=1)
    return [(ahead < rank).mean() for rank in range(1, 51)]


@pytest.mark.parametrize("engine", ["reference", "numba", "torch"])
@pytest.mark.parametrize("shard", [False, True])
def test_float64_features_are_ranked_as_float64_gives(engine, shard, tmp_path, capsys):
    arguments = offset(tmp_path)
    q, g = (np.load(tmp_path / f"{name}.npz") for name in "qg")
    right = curve(q["features"], q["pids"], g["features"], g["pids"])
    rounded = (side["features"].astype(np.float32).astype(np.float64) for side in (q, g))
    assert curve(next(rounded), q["pids"], next(rounded), g["pids"]) != right, "float32 would do"
    if shard:
        for part in (1, 2):
            run([*arguments, "--engine", engine, "--shard", f"{part}/2", "-o", f"{part}.npz"], capsys)
        assert invoke(["merge", "1.npz", "2.npz", "--format", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
    else:
        found = json.loads(run([*arguments, "--engine", engine, "--format", "json"], capsys).out)
    assert found["cmc"] == right
