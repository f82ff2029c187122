"""``crbench evaluate`` with a gallery in several files: the same output as with all in one, and clear refusals."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from crbench.cli import invoke
from crbench.files.gallery_files import GalleryFiles


def sides(named: bool) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    columns = [
        {
            "features": rng.normal(size=(count, 4)).astype(np.float32),
            "pids": rng.integers(1, 8, count),
            "camids": rng.integers(1, 4, count),
            **({"keys": np.array([f"{role} {row}" for row in range(count)])} if named else {}),
        }
        for role, count in (("query", 12), ("gallery", 40))
    ]
    return columns[0], columns[1]


def write(columns, name, rows=slice(None)):
    np.savez(name, **{column: values[rows] for column, values in columns.items()})


@pytest.fixture(params=[True, False], ids=["keys", "no keys"])
def files(request):
    """A gallery in one file and in three, and the queries; in the current folder."""
    query, gallery = sides(request.param)
    write(query, "q.npz")
    write(gallery, "whole.npz")
    for number, (start, stop) in enumerate(pairwise((0, 1, 25, 40))):
        write(gallery, f"shard{number}.npz", slice(start, stop))
    return [f"shard{number}.npz" for number in range(3)]


def printed(capsys, *arguments):
    assert invoke(["evaluate", "--query", "q.npz", *arguments]) == 0
    return capsys.readouterr()


@pytest.mark.parametrize("shot", ["multi", "single:exact", "single:mc:3"])
def test_the_output_of_the_whole(shot, files, capsys):
    rules = ["--set", f"protocol.shot={shot}", "--format", "json"]
    whole = printed(capsys, "--gallery", "whole.npz", *rules, "--per-query", "whole.csv")
    found = printed(capsys, "--gallery", *files, *rules, "--per-query", "found.csv")
    assert (found.out, found.err) == (whole.out, whole.err)
    assert Path("found.csv").read_text() == Path("whole.csv").read_text()


def test_a_npy_file_has_its_table_beside_it(files, capsys):
    expected = printed(capsys, "--gallery", "whole.npz", "--format", "json").out
    for file in files:
        arrays = np.load(file)
        np.save(file.replace("npz", "npy"), arrays["features"])
        columns = {"pid": arrays["pids"], "camid": arrays["camids"]}
        if "keys" in arrays:
            columns["key"] = arrays["keys"]
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        Path(file).with_suffix(".csv").write_text("\n".join(lines))
    assert printed(capsys, "--gallery", *(f.replace("npz", "npy") for f in files), "--format", "json").out == expected


def test_shards_of_the_queries_are_merged(files, capsys):
    expected = printed(capsys, "--gallery", "whole.npz", "--format", "json").out
    parts = [f"part{number}.npz" for number in (1, 2)]
    for number, part in enumerate(parts, start=1):
        printed(capsys, "--gallery", *files, "--shard", f"{number}/2", "-o", part)
    assert invoke(["merge", *parts, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(expected)


def test_a_result_is_verified_from_all_files(files, capsys):
    printed(capsys, "--gallery", *files, "--name", "mine", "-o", "mine.json")
    features = [option for file in ("q.npz", *files) for option in ("--features", file)]
    assert invoke(["verify", "mine.json", *features]) == 0
    assert "re-evaluated" in capsys.readouterr().out
    assert invoke(["verify", "mine.json", *features[:-2]]) != 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shard0.npz", "shard0.npz"], "shard0.npz: a file of the gallery that is named twice; name each once"),
        (["shard0.npz", "nope.npz"], "nope.npz: no such file"),
        (["shard0.npz", "shard1.npz", "--fpr", "0.1"], "--fpr goes with a gallery in one file, not in 2"),
        (["shard0.npz", "shard1.npz", "--meta", "t.csv"], "--meta goes with a gallery in one file, not in 2"),
        (["shard0.npz", "shard1.npz", "--rerank", "k1=3"], "re-ranking needs the whole gallery at once"),
        (["shard0.npz", "shard1.npz", "--per-query", "shard1.npz"], "this file is read, and would be written over"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message, files, capsys):
    assert invoke(["evaluate", "--query", "q.npz", "--gallery", *arguments]) != 0
    assert message in capsys.readouterr().err


def test_files_with_and_without_keys_are_refused(capsys):
    for number, named in enumerate((True, False)):
        write(sides(named)[1], f"shard{number}.npz")
    write(sides(True)[0], "q.npz")
    assert invoke(["evaluate", "--query", "q.npz", "--gallery", "shard0.npz", "shard1.npz"]) == 3
    assert "shard1.npz: has no keys, shard0.npz has keys; give all" in capsys.readouterr().err


def test_queries_from_the_gallery_need_keys(files, capsys):
    keys = "keys" in np.load("q.npz")
    code = invoke(["evaluate", "--query", "shard1.npz", "--gallery", *files])
    error = capsys.readouterr().err
    assert "24 queries are in the gallery too, as the same image" in error if keys else code == 3
    assert keys or "shard1.npz: query and gallery, and its rows have no keys" in error


def test_files_are_a_sequence(files, tmp_path):
    shards = GalleryFiles([tmp_path / file for file in files])
    assert [len(shard) for shard in shards] == [1, 24, 15]
    assert len(shards[2]) == 15
    assert len(shards[1:]) == 2
