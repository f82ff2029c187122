"""The commands of the campaign, each on a folder of its own, and what must be equal afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import attrs
import numpy as np
from safetensors.numpy import load_file

TINY = ("--set", "dataset.train_identities=4", "--set", "dataset.test_identities=3")
LEARN = (*TINY, "--set", "backbone.epochs=1", "--set", "backbone.identities=2", "--set", "backbone.images=2")
FEW = (
    "--set",
    "dataset.train_identities=2",
    "--set",
    "dataset.test_identities=2",
    "--set",
    "dataset.images_per_camera=1",
)
RUN = ("run", "--dataset", "mlr-synthetic", "--aligner", "ridge", "--trial", "0", *LEARN)


@attrs.frozen
class Job:
    """A command, what has to be there first, and the files that it makes.

    Attributes:
        first: commands before it, without faults.
        codes: exit codes that are right where the disk fails.
    """

    arguments: tuple[str, ...]
    first: tuple[tuple[str, ...], ...] = ()
    codes: tuple[int, ...] = (0, 6)


def _shard(number: int) -> tuple[str, ...]:
    features = ("--query", "q.npz", "--gallery", "g.npz")
    return ("evaluate", *features, "--shard", f"{number}/2", "--output", f"part{number}.npz")


JOBS = {
    "run": Job(RUN),
    "train": Job(("train", "--dataset", "mlr-synthetic", "--checkpoint-every", "1", *LEARN)),
    "evaluate": Job(_shard(1)),
    "merge": Job(("merge", "part1.npz", "part2.npz", "--per-query", "queries.csv"), (_shard(1), _shard(2))),
    "export": Job(("data", "export", "mlr-synthetic", "-o", "images", *FEW)),
    "leaderboard": Job(("leaderboard", "results", "-o", "board.json", "--format", "json"), (RUN,)),
}


def features(folder: Path) -> None:
    """The files that evaluations read."""
    draw = np.random.default_rng(0)
    people = draw.normal(size=(12, 8))
    for name, noise in (("q", 0.8), ("g", 0.6)):
        values = people + noise * draw.normal(size=people.shape)
        np.savez(folder / f"{name}.npz", features=values.astype(np.float32), pids=np.arange(12))


def copied(template: Path, folder: Path) -> Path:
    """`folder`, as it was when the template was made."""
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(template, folder))


def outcome(folder: Path) -> dict[str, object]:
    """What a command left, by name; without times, and without what names a moment or a process."""
    return {stable(path.relative_to(folder)): content(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def stable(path: Path) -> str:
    """The path; of a result without its time."""
    return str(path.with_name(path.name.partition("Z_")[2] or path.name))


TIMES = {"created", "timings", "duration_s", "seconds", "date", "resources", "outcomes", "content_sha256", "paces"}
"""Keys of JSON files whose values are times or memory, or cover one: names of outcomes, digests of whole results."""


def content(path: Path) -> object:
    """What a file holds, without times."""
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_text()))
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: (arrays[name].dtype.str, arrays[name].tobytes()) for name in arrays.files}
    if path.suffix == ".safetensors":  # without the metadata, which hold the time of a fit
        return {name: (str(array.dtype), array.tobytes()) for name, array in load_file(path).items()}
    return path.read_bytes()


def _timeless(value):
    if isinstance(value, dict):
        return {name: _timeless(item) for name, item in value.items() if name not in TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
