"""What a data set gives: each call names its plugin where it fails, and what comes is looked at before it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from crbench.data.decode import StoredImage
from crbench.errors import PluginError
from crbench.harness.plan import Job
from crbench.records import Samples, Split
from crbench.registry.guard import plugin_stage


def read_split(job: Job, trial: int, root: Path) -> Split:
    """The lists of a trial.

    Raises:
        DataError: the data are missing.
        PluginError: the data set fails, or gives something else.
    """
    with plugin_stage(job.dataset.registered.owner, "split"):
        found = job.source.split(job.protocol, trial, root=root)
    if not isinstance(found, Split):
        raise _other(job, "split", type(found).__name__, "a crbench.api.Split")
    for role in ("train", "query", "gallery"):
        if not isinstance(rows := getattr(found, role), Samples):
            raise _other(job, "split", type(rows).__name__, f"crbench.api.Samples as {role}")
    return found


def read_digests(job: Job, keys: NDArray[np.str_], root: Path) -> list[str]:
    """The digest of each image.

    Raises:
        DataError, PluginError: as for `read_split`.
    """
    with plugin_stage(job.dataset.registered.owner, "digests"):
        found = job.source.digests(keys, root=root)
    if not isinstance(found, np.ndarray) or found.dtype.kind != "U" or found.shape != keys.shape:
        kind = f"{found.dtype}{found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
        raise _other(job, "digests", kind, f"an array of {len(keys)} texts")
    return [str(digest) for digest in found]


def read_image(job: Job, key: str, root: Path) -> StoredImage:
    """An image as it is stored.

    Raises:
        DataError, PluginError: as for `read_split`.
    """
    with plugin_stage(job.dataset.registered.owner, "read"):
        found = job.source.read(key, root=root)
    if not isinstance(found, StoredImage):
        raise _other(job, "read", type(found).__name__, "a crbench.api.StoredImage")
    image = found.image
    if not isinstance(image, PIL.Image.Image):
        raise _other(job, "read", type(image).__name__, "a PIL image in RGB")
    if image.mode != "RGB" or 0 in image.size:
        raise _other(job, "read", f"{image.mode}{image.size}", "a PIL image in RGB")
    return found


def _other(job: Job, stage: str, found: str, expected: str) -> PluginError:
    return PluginError(f"{job.dataset.registered.owner} failed at {stage}: it gave {found}; expected {expected}")
