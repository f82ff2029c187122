"""From the images of a data set and a protocol to the split of one trial.

Everything random here comes from `crbench.data.draws`, keyed by the data set, the trial and the image's or person's
own name: protocols of one data set share their identity splits and LR cameras, and file order never matters.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.data.draws import choices, shuffled
from crbench.errors import ConfigError, DataError
from crbench.protocol import EvalProtocol
from crbench.protocol.parse import parse_lr_camera
from crbench.records import Samples, Split

ROLES = ("train", "query", "gallery", "any")


@attrs.frozen(eq=False)
class Index:
    """All images of a data set.

    Attributes:
        name: the data set; part of every draw.
        rows: one row per image, at rate 1.
        roles: str[n], the official folder of each image, one of `ROLES` (``any`` where there is no official split).
            Official test identities are those of the ``query`` folder.
        areas: f64[n], pixels per image; needed by ``lr_camera="smaller"`` only.
    """

    name: str
    rows: Samples
    roles: NDArray[np.str_]
    areas: NDArray[np.float64] | None = None


def draw_split(index: Index, protocol: EvalProtocol, trial: int) -> Split:
    """The split of trial `trial` (from 0).

    Raises:
        ConfigError: the trial is not one of the protocol's, or the protocol does not fit the data set.
        DataError: too few identities.
    """
    if not 0 <= trial < protocol.split.trials:
        raise ConfigError(f"trial {trial} is not one of 0 to {protocol.split.trials - 1} of protocol {protocol.name!r}")
    if protocol.split.identities != "official":
        if protocol.split.query == "official":
            raise ConfigError(
                f"{index.name}: protocol.query=official is the data set's list of queries, but identities are drawn "
                f"({protocol.split.identities}); set query=lr-camera, or identities=official"
            )
        index = _without_roles(index)
    train_ids, test_ids = draw_identities(index, protocol, trial)
    rows = index.rows
    if protocol.split.lr_camera == "smaller":
        rows = _with_native_rates(index)
    # Tracklets matter for tests only; methods learn from single images.
    train = attrs.evolve(rows.take(_train_mask(index, train_ids)), groups=None)
    if protocol.split.query == "official":
        query_mask, gallery_mask = _official(index, test_ids)
    else:
        query_mask, gallery_mask = _by_camera(index, protocol, trial, test_ids)
    gallery_mask, notes = _admit(index, protocol, gallery_mask, test_ids)
    query = rows.take(query_mask)
    if protocol.split.shrinks_queries:
        query = with_drawn_rates(query, protocol, f"{index.name}|trial {trial}")
    gallery = rows.take(gallery_mask)
    if protocol.split.gallery_rates:
        gallery = _with_gallery_rates(gallery, protocol.split.gallery_rates, f"{index.name}|trial {trial}")
    return Split(train=train, query=query, gallery=gallery, notes={**_of_nobody(index), **notes})


def draw_identities(index: Index, protocol: EvalProtocol, trial: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and test identities, sorted; random ones are drawn among identities seen by at least two cameras."""
    pids, camids = index.rows.pids, index.rows.camids
    if protocol.split.identity_counts is None:
        train = np.unique(pids[(index.roles == "train") & (pids > 0)])
        test = np.unique(pids[(index.roles == "query") & (pids > 0)])
        for role, found in (("train", train), ("query", test)):
            if len(found) == 0:
                raise DataError(f"{index.name}: no {role} images were found; see: crbench data verify {index.name}")
        return train, test
    train_count, test_count = protocol.split.identity_counts
    everybody = np.unique(pids[pids > 0]).tolist()
    paired = [pid for pid in everybody if len(np.unique(camids[pids == pid])) >= 2]
    if len(paired) < test_count or len(everybody) < train_count + test_count:
        raise DataError(
            f"{index.name}: protocol {protocol.name!r} draws {train_count} training and {test_count} test identities, "
            f"but there are {len(everybody)} identities, {len(paired)} of them seen by two cameras"
        )
    test_ids = shuffled(f"{index.name}|trial {trial}|test identities", paired)[:test_count]
    rest = sorted(set(everybody) - set(test_ids))
    train_ids = shuffled(f"{index.name}|trial {trial}|training identities", rest)[:train_count]
    return np.sort(np.array(train_ids, dtype=np.int64)), np.sort(np.array(test_ids, dtype=np.int64))


def lr_cameras(rows: Samples, rule: str, stream: str) -> NDArray[np.int64]:
    """The LR camera that applies to each row: i64[n]; -1 where the rule gives none.

    Args:
        rule: ``none``, ``fixed:C``, or ``per-id``: drawn by `stream` among the cameras that see the person in `rows`.
    """
    if rule == "none":
        return np.full(len(rows), -1)
    if (camera := parse_lr_camera(rule)) is not None:
        return np.full(len(rows), camera)
    cameras = np.full(len(rows), -1)
    for pid in np.unique(rows.pids):
        mask = rows.pids == pid
        seen = np.unique(rows.camids[mask])
        cameras[mask] = seen[choices(f"{stream}|lr camera", [pid], len(seen))[0]]
    return cameras


def with_drawn_rates(rows: Samples, protocol: EvalProtocol, stream: str) -> Samples:
    """The rows with a rate drawn uniformly from ``protocol.query_rates``: per image or tracklet, or per identity."""
    images = rows.keys if rows.groups is None else rows.groups
    names = images if protocol.split.rate_per == "image" else rows.pids
    options = np.array(protocol.split.query_rates, dtype=np.float32)
    return attrs.evolve(
        rows, rates=options[choices(f"{stream}|rates {protocol.split.query_rates}", names, len(options))]
    )


def _with_gallery_rates(rows: Samples, rates: tuple[float, ...], stream: str) -> Samples:
    """The rows with a rate drawn uniformly for each image or tracklet; none becomes finer than it is stored."""
    images = rows.keys if rows.groups is None else rows.groups
    options = np.array(rates, dtype=np.float32)
    drawn = options[choices(f"{stream}|gallery rates {rates}", images, len(options))]
    return attrs.evolve(rows, rates=np.maximum(drawn, rows.native_rates))


def smaller_camera(index: Index) -> int:
    """The camera whose images are smaller on average."""
    if index.areas is None:
        raise ConfigError(f"{index.name}: lr_camera=smaller needs image sizes, which this data set does not give")
    cameras = np.unique(index.rows.camids)
    means = [index.areas[index.rows.camids == camera].mean() for camera in cameras]
    return int(cameras[int(np.argmin(means))])


def _with_native_rates(index: Index) -> Samples:
    """Rows of the LR camera at their presumed native rate, 2 (LRAR presumes k = 1/2 for CAVIAR)."""
    rates = np.where(index.rows.camids == smaller_camera(index), np.float32(2), np.float32(1))
    return attrs.evolve(index.rows, rates=rates, native_rates=rates)


def _without_roles(index: Index) -> Index:
    """Drawn identities may use images of every official folder; junk and distractors stay in the gallery."""
    return attrs.evolve(index, roles=np.where(index.rows.pids > 0, "any", "gallery"))


def _train_mask(index: Index, train_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.isin(index.rows.pids, train_ids) & np.isin(index.roles, ("train", "any"))
    return mask


def _official(index: Index, test_ids: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    query = (index.roles == "query") & np.isin(index.rows.pids, test_ids)
    return query, index.roles == "gallery"


def _by_camera(
    index: Index, protocol: EvalProtocol, trial: int, test_ids: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Queries: LR-camera images of test identities; gallery: all other cameras' test images, and who else is there."""
    rows = index.rows
    test = np.isin(rows.pids, test_ids) & (index.roles != "train")
    if protocol.split.lr_camera == "smaller":
        cameras = np.full(len(rows), smaller_camera(index))
    else:
        cameras = lr_cameras(rows, protocol.split.lr_camera, f"{index.name}|trial {trial}")
    query = test & (rows.camids == cameras)
    if not query.any():
        raise DataError(
            f"{index.name}: no test identity has an image in the LR camera ({protocol.split.lr_camera}); cameras in "
            f"the test rows: {np.unique(rows.camids[test]).tolist()}"
        )
    others = (index.roles == "gallery") & ~np.isin(rows.pids, test_ids)
    seen = rows.camids != cameras
    # A camera that is drawn per identity is LR for that identity; nobody draws one for distractors and junk.
    return query, (test & seen) | (others if protocol.split.lr_camera == "per-id" else others & seen)


def _of_nobody(index: Index) -> dict[str, int]:
    """How many rows are listed to train on or to ask for, but show no person: junk and distractors."""
    counts = {role: int(((index.roles == role) & (index.rows.pids <= 0)).sum()) for role in ("train", "query")}
    return {f"{role} images of no person": count for role, count in counts.items() if count}


def _admit(
    index: Index, protocol: EvalProtocol, gallery: NDArray[np.bool_], test_ids: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Apply the junk and distractor rules to the gallery; count what they leave out."""
    pids = index.rows.pids
    notes = {}
    for name, mask, rule in (
        ("junk images", pids == -1, protocol.scoring.junk),
        ("distractor images", (pids >= 0) & ~np.isin(pids, test_ids), protocol.split.distractors),
    ):
        if rule == "drop":
            notes[name] = int((gallery & mask).sum())
            gallery = gallery & ~mask
    return gallery, {name: count for name, count in notes.items() if count}
