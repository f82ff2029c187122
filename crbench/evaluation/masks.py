"""From a protocol's rules to ranking tasks: positives, junk, camera rules, single-shot draws."""

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
    """The identities of a task's candidates, for single-shot scores.

    Distractors (pid 0) and kept junk (pid -1) are unknown people, so each of their images is an identity of its own. In
    a data set that numbers its persons from 0, pid 0 is a person: it is one as soon as a query has it.

    Attributes:
        columns: intp[c], column of each candidate: 0 for the only image of an identity, else the identity's own.
        sizes: intp[width], images per column.
        labels: intp[c], a number per identity.
    """

    columns: NDArray[np.intp]
    sizes: NDArray[np.intp]
    labels: NDArray[np.intp]


def matches(query: Samples, gallery: Samples, protocol: EvalProtocol) -> RankTask:
    """The multi-shot task: all positives of each query but its own image, everything but junk as candidates.

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
    for camera, ignored in protocol.scoring.ignored.items():
        kept &= (cameras != camera) | ~np.isin(seen_by, ignored)
    if protocol.scoring.same_camera == "ignore":
        kept &= (cameras == UNKNOWN_CAMERA) | (cameras != seen_by)
    images = image_numbers(query, gallery)
    if images is not None:
        others = images[0][owners] != images[1][positives]
        kept &= others
        if len(owners) and not others.any():
            raise EvaluationError(_only_itself(len(owners)))
    if not kept.any():
        raise EvaluationError(_why_no_match(query, gallery, len(owners), protocol))
    candidates = np.flatnonzero((gallery.pids >= 0) | (protocol.scoring.junk == "keep"))
    return RankTask(
        positives=positives[kept],
        starts=np.concatenate([[0], np.cumsum(np.bincount(owners[kept], minlength=len(query)))]),
        candidates=candidates,
        columns=np.zeros(len(candidates), dtype=np.intp),
    )


def image_numbers(query: Samples, gallery: Samples) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Numbers i64[q] and i64[g] that are equal where a query and a gallery row are the same image; None = unknown.

    Unknown it is where rows have no names, unless both sides are one list.

    Example:
        >>> image_numbers(Samples(keys=["b", "a"], pids=[1, 1]), Samples(keys=["c", "a"], pids=[2, 1]))
        (array([0, 1]), array([-1,  1]))
    """
    if query is not gallery and not (query.named and gallery.named):
        return None
    numbers: dict[str, int] = {}
    own = [numbers.setdefault(key, len(numbers)) for key in query.keys.tolist()]
    return np.array(own, dtype=np.int64), np.array([numbers.get(k, -1) for k in gallery.keys.tolist()], dtype=np.int64)


def query_gallery_masks(
    query: Samples, gallery: Samples, protocol: EvalProtocol
) -> list[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Groups of queries intp[b] that the camera rules treat alike, each with a mask bool[g] of its gallery images."""
    ignored = protocol.scoring.ignored
    unrestricted = np.flatnonzero(~np.isin(query.camids, list(ignored)))
    found = [(unrestricted, np.ones(len(gallery), dtype=np.bool_))]
    for camera, others in ignored.items():
        found.append((np.flatnonzero(query.camids == camera), ~np.isin(gallery.camids, others)))
    return [(queries, items) for queries, items in found if len(queries)]


def restricted(task: RankTask, queries: NDArray[np.intp], items: NDArray[np.bool_] | None = None) -> RankTask:
    """The task for some queries intp[b] only, against the gallery items of a mask bool[g]; None = all items.

    All positives of these queries must be among the items.
    """
    chosen = np.zeros(len(task.sizes), dtype=np.bool_)
    chosen[queries] = True
    sizes = np.where(chosen, task.sizes, 0)
    kept = slice(None) if items is None else items[task.candidates]
    return attrs.evolve(
        task,
        positives=task.positives[np.repeat(chosen, task.sizes)],
        starts=np.concatenate([[0], np.cumsum(sizes)]),
        candidates=task.candidates[kept],
        columns=task.columns[kept],
    )


def valid_items(task: RankTask, query: Samples, gallery: Samples) -> NDArray[np.int64]:
    """i64[q], how many gallery images a query may find: the positives, and candidates of other persons."""
    pids = np.sort(gallery.pids[task.candidates])
    own = np.searchsorted(pids, query.pids, side="right") - np.searchsorted(pids, query.pids, side="left")
    return len(pids) - own + task.sizes


def identities(task: RankTask, query: Samples, gallery: Samples) -> Identities:
    """The identities of the candidates."""
    pids = gallery.pids[task.candidates]
    unknown = (pids < 0) | ((pids == 0) & ~np.any(query.pids == 0))
    # Unknown people get labels of their own, after all others.
    labels = np.where(unknown, pids.max(initial=0) + 1 + np.arange(len(pids)), pids)
    _, labels, counts = np.unique(labels, return_inverse=True, return_counts=True)
    several = counts > 1
    column_of = np.where(several, np.cumsum(several), 0)
    sizes = np.concatenate([[int((~several).sum())], counts[several]])
    return Identities(columns=column_of[labels], sizes=sizes, labels=labels)


def by_identity(task: RankTask, who: Identities) -> RankTask:
    """The task of the exact single-shot expectation: candidates are counted per identity."""
    return attrs.evolve(task, columns=who.columns, width=len(who.sizes))


class Drawing:
    """Single-shot draws: one gallery image per identity, and for each query one of its positives.

    In each draw an image gets a priority from its key alone (`crbench.data.draws`). An identity is represented by its
    image of the highest priority, the person of the query by the highest among the query's positives.
    """

    def __init__(self, task: RankTask, who: Identities, gallery: Samples, stream: str) -> None:
        """Args: the task of all images, their identities, and the name of the draws."""
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
    """The item of the highest priority in each run of items; runs begin at `first`."""
    own = priorities[items]
    runs = np.repeat(np.arange(len(first)), np.diff(first, append=len(items)))
    at = np.flatnonzero(own == np.maximum.reduceat(own, first)[runs])
    return items[at[np.diff(runs[at], prepend=-1) > 0]]  # The first one, should two be equal.


def _only_itself(pairs: int) -> str:
    return (
        f"no query has a match: the {pairs} pairs of one person are each a query and the same image in the gallery; "
        "give other images of these persons as the gallery"
    )


def _why_no_match(query: Samples, gallery: Samples, same_person: int, protocol: EvalProtocol) -> str:
    if same_person == 0:
        return (
            "no query has a match: query and gallery have no person in common "
            f"(query pids {_few(query.pids)}, gallery pids {_few(gallery.pids)})"
        )
    if protocol.scoring.ignored_cameras != "none":
        return (
            f"no query has a match: the camera rules (same_camera={protocol.scoring.same_camera}, "
            f"ignored_cameras={protocol.scoring.ignored_cameras}) remove all {same_person} pairs of one person"
        )
    return (
        f"no query has a match: the same-camera rule removes all {same_person} pairs of one person, as the cameras are "
        f"equal (query camids {_few(query.camids)}, gallery camids {_few(gallery.camids)}); "
        "give the true camids, -1 for unknown, or evaluate with same_camera=keep"
    )


def _few(values: NDArray[np.int64]) -> str:
    distinct = np.unique(values)
    return ", ".join(map(str, distinct[:5])) + (", ..." if len(distinct) > 5 else "")
