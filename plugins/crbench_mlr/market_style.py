"""Folders in the manner of Market-1501: `bounding_box_train`, `query`, `bounding_box_test`."""

from __future__ import annotations

import re
from pathlib import Path

from crbench.api import ImageFile, match_images
from crbench_mlr.folders import child

FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
"""Official role by folder."""

NUMBER = r"\d{1,9}"
"""Of a person or a camera, in patterns of ASCII names. Copies and extensions of a data set have more cameras and longer
numbers than the original, and an image that a pattern leaves out is missing from every score."""

TREE = """{folder}/
  bounding_box_train/{example}
  query/...
  bounding_box_test/..."""


def scan_folders(
    folder: Path, pattern: re.Pattern[str], example: str, *, prefix: str = ""
) -> tuple[list[ImageFile], list[Path]]:
    """The images of the three folders and all other files there.

    Args:
        pattern: of whole file names; its groups ``pid`` and ``camid`` are numbers.
        prefix: put before the keys, which are ``prefix + standard folder name + "/" + file name``.

    Raises:
        DataError: a folder holds images, but none that matches.
    """
    found, others = [], []
    for name, role in FOLDERS.items():
        matches, rest = match_images(child(folder, name), pattern, example)
        others += rest
        found += [
            ImageFile(f"{prefix}{name}/{path.name}", path, int(match["pid"]), int(match["camid"]), role)
            for path, match in matches
        ]
    return found, others
