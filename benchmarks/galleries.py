"""One evaluation against a gallery in files: ``python galleries.py QUERIES ROWS DIM FOLDER`` prints JSON.

The files are drawn first, of a million rows at most each, and lie in FOLDER. Mapped pages of files are no memory of the
process, as the system takes them back whenever it likes; what is measured is what the process allocates.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import workload
from peak import Watched, held

from crbench import evaluate
from crbench.files.gallery_files import GalleryFiles
from crbench.protocol.presets import OWN_FEATURES
from crbench.records import features_from_arrays

SHARD = 1_000_000
PERSONS = 1000


def drawn(count: int, centres: np.ndarray, seed: int, *, persons: int) -> dict[str, np.ndarray]:
    """Images of so many persons, of whom the first ones lie around centres, with labels, as a file holds them."""
    rng = np.random.default_rng(seed)
    pids = rng.integers(0, persons, count)
    x = rng.standard_normal((count, centres.shape[1]), dtype=np.float32)
    known = pids < len(centres)
    x[known] += centres[pids[known]]
    return {"features": x, "pids": pids + 1, "camids": rng.integers(0, 6, count)}


def written(folder: Path, rows: int, centres: np.ndarray) -> list[Path]:
    """The files of a gallery: about 50,000 images of the persons that are asked for, however many others there are."""
    persons, paths = max(len(centres), len(centres) * rows // 50_000), []
    for number, start in enumerate(range(0, rows, SHARD)):
        paths.append(folder / f"{rows}-{number}.npz")
        np.savez(paths[-1], **drawn(min(SHARD, rows - start), centres, seed=number + 1, persons=persons))
    return paths


def main() -> None:
    """Draw, evaluate, print."""
    queries, rows, dim = map(int, sys.argv[1:4])
    centres = np.random.default_rng(0).standard_normal((PERSONS, dim), dtype=np.float32)
    paths = written(Path(sys.argv[4]), rows, centres)
    asked = drawn(queries, centres, seed=0, persons=len(centres))
    query = features_from_arrays(asked["features"], asked["pids"], camids=asked["camids"])
    evaluate(*workload.people(64, 200, 16), OWN_FEATURES)  # libraries are loaded and loops compiled
    before, begin = held("RssAnon"), time.perf_counter()
    with Watched() as watched:
        found = evaluate(query, GalleryFiles(paths), OWN_FEATURES)
    seconds = time.perf_counter() - begin
    scores = {"R1": float(found.scores.cmc[0]), "mAP": found.scores["mAP"]}
    print(json.dumps({"files": len(paths), "seconds": seconds, "extra": watched.peak - before, "scores": scores}))  # noqa: T201


if __name__ == "__main__":
    main()
