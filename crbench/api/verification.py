"""What the images of a data set are on this machine: their number, their digests, and which of them are damaged."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from crbench.api.context import Progress, no_progress
from crbench.api.datasets import ImageSource
from crbench.data.info import DatasetInfo, Verification
from crbench.data.splits import Index
from crbench.errors import DataError

_THREADS = min(8, (os.cpu_count() or 1) + 1)

_BLOCK = 32
"""Images that a thread digests in one go, as handing them over takes longer than reading a small file."""

_K = TypeVar("_K")
_T = TypeVar("_T")


def count_images(index: Index) -> dict[str, int]:
    """Counts of an index: by official folder where there are such folders, over all images otherwise.

    Example:
        >>> from crbench.api.datasets import ImageFile, make_index
        >>> count_images(make_index("shop", [ImageFile("a.png", Path("a.png"), pid=1, camid=1)]))
        {'images': 1, 'identities': 1, 'cameras': 1}
    """
    pids, roles = index.rows.pids, index.roles
    cameras = {"cameras": len(np.unique(index.rows.camids))}
    if np.all(roles == "any"):
        return {"images": len(pids), "identities": len(np.unique(pids)), **cameras}
    query_pids = np.unique(pids[(roles == "query") & (pids > 0)])
    gallery_pids = np.unique(pids[(roles == "gallery") & (pids > 0)])
    return {
        "train images": int((roles == "train").sum()),
        "train identities": len(np.unique(pids[(roles == "train") & (pids > 0)])),
        "query images": int((roles == "query").sum()),
        "gallery images": int(((roles == "gallery") & (pids >= 0)).sum()),
        "junk images": int((pids == -1).sum()),
        "test identities": len(query_pids),
        "distractor identities": len(np.setdiff1d(gallery_pids, query_pids)),
        **cameras,
    }


def digest_images(source: ImageSource, keys: Iterable[str]) -> NDArray[np.str_]:
    """The digest of each image, str[n], read by several threads.

    Raises:
        DataError: an image cannot be opened.
    """
    listed = [str(key) for key in keys]
    blocks = [listed[start : start + _BLOCK] for start in range(0, len(listed), _BLOCK)]
    with _threaded(lambda block: [source.digest(key) for key in block], blocks) as found:
        return np.array([digest for block in found for digest in block], dtype=np.str_)


def verify_images(
    info: DatasetInfo, folder: Path, source: ImageSource, index: Index, *, track: Progress = no_progress
) -> Verification:
    """Open every image of the index, compare their contents, and count them; `missing` and `extra` are left empty.

    Args:
        info: its counts are what is expected; its name is shown.
        folder: named in the result.
        track: shows the progress.
    """
    keys = list(dict.fromkeys(index.rows.keys.tolist()))  # an image of two roles is no copy of itself
    unreadable, by_digest = [], defaultdict(list)
    with (
        track(len(keys), f"verify {info.name}", "image") as tracker,
        _threaded(lambda key: _inspect(source, key), keys) as found,
    ):
        for key, (digest, problem) in zip(keys, found, strict=True):
            tracker.advance()
            if problem:
                unreadable.append(problem)
            else:
                by_digest[digest].append(key)
    return Verification(
        root=str(folder),
        found=count_images(index),
        expected=info.counts,
        unreadable=tuple(unreadable),
        duplicate=tuple(f"{key} = {same[0]}" for same in by_digest.values() for key in same[1:]),
    )


def _inspect(source: ImageSource, key: str) -> tuple[str, str | None]:
    """Content digest of an image, and what is wrong with it."""
    try:
        return source.image(key).digest, None
    except DataError as error:
        return "", str(error)


@contextmanager
def _threaded(function: Callable[[_K], _T], keys: Iterable[_K]) -> Iterator[Iterator[_T]]:
    """Results in order of the keys; what has not begun is dropped if the block is left early."""
    pool = ThreadPoolExecutor(_THREADS)
    try:
        yield pool.map(function, keys)
    finally:
        pool.shutdown(cancel_futures=True)
