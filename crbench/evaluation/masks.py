"""From a protocol's rules to pairs: positives, junk, camera rules."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import EvaluationError
from crbench.protocol import EvalProtocol
from crbench.records import Samples

UNKNOWN_CAMERA = -1


@attrs.frozen(eq=False)
class Pairs:
    """Query-gallery pairs of one person.

    Attributes:
        owners, positives: intp[P] each, query rows and gallery rows of the pairs that the rules leave.
        same_person: pairs before the rules.
        themselves: of these, a query and the same image.
        seen: pids and camids that occur in the gallery, for messages.
    """

    owners: NDArray[np.intp]
    positives: NDArray[np.intp]
    same_person: int
    themselves: int
    seen: tuple[NDArray[np.int64], NDArray[np.int64]]

    @classmethod
    def of(cls, query: Samples, gallery: Samples, protocol: EvalProtocol) -> Pairs:
        """All pairs of a query and another image of its person that the camera rules let meet."""
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
        images, themselves = image_numbers(query, gallery), 0
        if images is not None:
            others = images[0][owners] != images[1][positives]
            kept &= others
            themselves = int((~others).sum())
        return cls(
            owners=owners[kept],
            positives=positives[kept],
            same_person=len(owners),
            themselves=themselves,
            seen=(np.unique(gallery.pids), np.unique(gallery.camids)),
        )


def check_some_match(query: Samples, pairs: Sequence[Pairs], protocol: EvalProtocol) -> None:
    """Refuse what has no score.

    Args:
        pairs: with each part of the gallery.

    Raises:
        EvaluationError: no query has a positive; the message says why.
    """
    if any(len(found.owners) for found in pairs):
        return
    same_person = sum(found.same_person for found in pairs)
    if 0 < same_person == sum(found.themselves for found in pairs):
        raise EvaluationError(_only_itself(same_person))
    pids, camids = (np.unique(np.concatenate(seen)) for seen in zip(*(found.seen for found in pairs), strict=True))
    raise EvaluationError(_why_no_match(query, pids, camids, same_person, protocol))


def candidates(gallery: Samples, protocol: EvalProtocol, ignored: Sequence[int] = ()) -> NDArray[np.intp]:
    """Gallery rows intp[c] that may be ahead of a positive: everything but junk, and no image of an ignored camera."""
    kept = (gallery.pids >= 0) | (protocol.scoring.junk == "keep")
    return np.flatnonzero(kept & ~np.isin(gallery.camids, ignored) if len(ignored) else kept)


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


def camera_groups(query: Samples, protocol: EvalProtocol) -> list[tuple[NDArray[np.intp], Sequence[int]]]:
    """Groups of queries intp[b] that the camera rules treat alike, each with the cameras that it does not meet."""
    ignored = protocol.scoring.ignored
    found: list[tuple[NDArray[np.intp], Sequence[int]]] = [(np.flatnonzero(~np.isin(query.camids, list(ignored))), ())]
    found += [(np.flatnonzero(query.camids == camera), others) for camera, others in ignored.items()]
    return [(queries, others) for queries, others in found if len(queries)]


def _only_itself(pairs: int) -> str:
    return (
        f"no query has a match: the {pairs} pairs of one person are each a query and the same image in the gallery; "
        "give other images of these persons as the gallery"
    )


def _why_no_match(
    query: Samples, pids: NDArray[np.int64], camids: NDArray[np.int64], same_person: int, protocol: EvalProtocol
) -> str:
    """Args: the pids and camids of the gallery, and how many pairs show one person."""
    if same_person == 0:
        return (
            "no query has a match: query and gallery have no person in common "
            f"(query pids {_few(query.pids)}, gallery pids {_few(pids)})"
        )
    if protocol.scoring.ignored_cameras != "none":
        return (
            f"no query has a match: the camera rules (same_camera={protocol.scoring.same_camera}, "
            f"ignored_cameras={protocol.scoring.ignored_cameras}) remove all {same_person} pairs of one person"
        )
    return (
        f"no query has a match: the same-camera rule removes all {same_person} pairs of one person, as the cameras are "
        f"equal (query camids {_few(query.camids)}, gallery camids {_few(camids)}); "
        "give the true camids, -1 for unknown, or evaluate with same_camera=keep"
    )


def _few(values: NDArray[np.int64]) -> str:
    distinct = np.unique(values)
    return ", ".join(map(str, distinct[:5])) + (", ..." if len(distinct) > 5 else "")
