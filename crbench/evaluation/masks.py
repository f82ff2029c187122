"""From a protocol's rules to tasks: positives, junk, the same-camera rule, single-shot draws."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.data.draws import hashes, repeated
from crbench.errors import EvaluationError
from crbench.protocol import EvalProtocol
from crbench.ranking.interface import RankTask
from crbench.records import Samples

UNKNOWN_CAMERA = -1


@attrs.frozen(eq=False)
class Identities:
    """Who the candidates of a single-shot gallery are.

    Distractors (pid 0) and kept junk (pid -1) are unknown people, so each image is an identity of its own. A data set
    that numbers its persons from 0 is still scored as it should be: pid 0 is a person once a query asks for it.

    Attributes:
        columns: intp[c], column of each candidate: 0 for the only image of an identity, else the identity's own.
        sizes: intp[width], images per column.
        labels: intp[c], a number per identity.
    """

    columns: NDArray[np.intp]
    sizes: NDArray[np.intp]
    labels: NDArray[np.intp]


def matches(query: Samples, gallery: Samples, protocol: EvalProtocol) -> RankTask:
    """The multi-shot task: all positives of each query, everything but junk as candidates.

    Raises:
        EvaluationError: no query has a positive.
    """
    order = np.argsort(gallery.pids, kind="stable")
    pids = gallery.pids[order]
    first = np.searchsorted(pids, query.pids, side="left")
    sizes = np.searchsorted(pids, query.pids, side="right") - first
    owners = np.repeat(np.arange(len(query)), sizes)
    positives = order[np.arange(len(owners)) + np.repeat(first - (np.cumsum(sizes) - sizes), sizes)]
    cameras, seen_by = query.camids[owners], gallery.camids[positives]
    kept = np.ones(len(owners), dtype=np.bool_)
    for camera, ignored in protocol.ignored.items():
        kept &= (cameras != camera) | ~np.isin(seen_by, ignored)
    if protocol.same_camera == "ignore":
        kept &= (cameras == UNKNOWN_CAMERA) | (cameras != seen_by)
    if not kept.any():
        raise EvaluationError(_why_no_match(query, gallery, len(owners), protocol))
    candidates = np.flatnonzero((gallery.pids >= 0) | (protocol.junk == "keep"))
    return RankTask(
        positives=positives[kept],
        starts=np.concatenate([[0], np.cumsum(np.bincount(owners[kept], minlength=len(query)))]),
        candidates=candidates,
        columns=np.zeros(len(candidates), dtype=np.intp),
    )


def query_gallery_masks(
    query: Samples, gallery: Samples, protocol: EvalProtocol
) -> list[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Queries that meet the same gallery cameras, intp[b], each with bool[g]: which gallery images these are."""
    ignored = protocol.ignored
    everything = np.ones(len(gallery), dtype=np.bool_)
    usual = np.flatnonzero(~np.isin(query.camids, list(ignored)))
    found = [(usual, everything)]
    for camera, others in ignored.items():
        found.append((np.flatnonzero(query.camids == camera), ~np.isin(gallery.camids, others)))
    return [(queries, items) for queries, items in found if len(queries)]


def restricted(task: RankTask, queries: NDArray[np.intp], items: NDArray[np.bool_] | None = None) -> RankTask:
    """The task of some queries only, whose gallery is some of the items, bool[g]; None = all.

    All positives of these queries must be among the items.
    """
    asked = np.zeros(len(task.sizes), dtype=np.bool_)
    asked[queries] = True
    sizes = np.where(asked, task.sizes, 0)
    met = slice(None) if items is None else items[task.candidates]
    return attrs.evolve(
        task,
        positives=task.positives[np.repeat(asked, task.sizes)],
        starts=np.concatenate([[0], np.cumsum(sizes)]),
        candidates=task.candidates[met],
        columns=task.columns[met],
    )


def valid_items(task: RankTask, query: Samples, gallery: Samples) -> NDArray[np.int64]:
    """i64[q], how many gallery images a query may find: the positives, and candidates of other persons."""
    pids = np.sort(gallery.pids[task.candidates])
    own = np.searchsorted(pids, query.pids, side="right") - np.searchsorted(pids, query.pids, side="left")
    return len(pids) - own + task.sizes


def identities(task: RankTask, query: Samples, gallery: Samples) -> Identities:
    """Who the candidates are."""
    pids = gallery.pids[task.candidates]
    unknown = (pids < 0) | ((pids == 0) & ~np.any(query.pids == 0))
    # unknown people get labels of their own, after everybody else's
    labels = np.where(unknown, pids.max(initial=0) + 1 + np.arange(len(pids)), pids)
    _, labels, counts = np.unique(labels, return_inverse=True, return_counts=True)
    several = counts > 1
    column_of = np.where(several, np.cumsum(several), 0)
    sizes = np.concatenate([[int((~several).sum())], counts[several]])
    return Identities(columns=column_of[labels], sizes=sizes, labels=labels)


def by_identity(task: RankTask, who: Identities) -> RankTask:
    """The task of the exact single-shot expectation: everything counted per identity."""
    return attrs.evolve(task, columns=who.columns, width=len(who.sizes))


class Drawing:
    """Single-shot draws: one gallery image per identity, and for each query one of its positives.

    In each draw an image gets a priority from its key alone (`crbench.data.draws`); an identity is represented by its
    image of the highest priority, the query's own person by the highest among the query's positives.
    """

    def __init__(self, task: RankTask, who: Identities, gallery: Samples, stream: str) -> None:
        """Args: the task of all images, who they are, and the name of the draws."""
        self._task = task
        self._seeds = hashes(stream, gallery.keys)
        order = np.argsort(who.labels, kind="stable")
        self._items = task.candidates[order]
        self._first_items = np.flatnonzero(np.diff(who.labels[order], prepend=-1))
        answered = task.sizes > 0
        self._first_positives = task.starts[:-1][answered]
        self._starts = np.concatenate([[0], np.cumsum(answered)])

    def task(self, number: int) -> RankTask:
        """The task of one draw."""
        priorities = repeated(self._seeds, number)
        candidates = np.sort(_highest(self._items, self._first_items, priorities))
        return RankTask(
            positives=_highest(self._task.positives, self._first_positives, priorities),
            starts=self._starts,
            candidates=candidates,
            columns=np.zeros(len(candidates), dtype=np.intp),
        )


def _highest(items: NDArray[np.intp], first: NDArray[np.intp], priorities: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The item of the highest priority of each run of items, which begin at `first`."""
    mine = priorities[items]
    runs = np.repeat(np.arange(len(first)), np.diff(first, append=len(items)))
    at = np.flatnonzero(mine == np.maximum.reduceat(mine, first)[runs])
    return items[at[np.diff(runs[at], prepend=-1) > 0]]  # one, should two be equal


def _why_no_match(query: Samples, gallery: Samples, same_person: int, protocol: EvalProtocol) -> str:
    if same_person == 0:
        return (
            "no query has a match: query and gallery have no person in common "
            f"(query pids {_few(query.pids)}, gallery pids {_few(gallery.pids)})"
        )
    if protocol.ignored_cameras != "none":
        return (
            f"no query has a match: the camera rules (same_camera={protocol.same_camera}, "
            f"ignored_cameras={protocol.ignored_cameras}) remove all {same_person} pairs of one person"
        )
    return (
        f"no query has a match: the same-camera rule removes all {same_person} pairs of one person, as the cameras are "
        f"equal (query camids {_few(query.camids)}, gallery camids {_few(gallery.camids)}); "
        "give the true camids, -1 for unknown, or evaluate with same_camera=keep"
    )


def _few(values: NDArray[np.int64]) -> str:
    distinct = np.unique(values)
    return ", ".join(map(str, distinct[:5])) + (", ..." if len(distinct) > 5 else "")
