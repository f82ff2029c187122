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


_NAMED = 5
"""Persons or cameras that a message names."""


@attrs.frozen(eq=False)
class Seen:
    """What a gallery holds, for the message that no query has a match in it.

    Attributes:
        same_person: pairs of a query and an image of its person.
        themselves: of these, a query and the same image.
        pids, camids: the first ones that occur.
    """

    same_person: int
    themselves: int
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[Seen]) -> Seen:
        """Of all parts of a gallery."""
        return cls(
            sum(part.same_person for part in parts),
            sum(part.themselves for part in parts),
            _first(np.concatenate([part.pids for part in parts])),
            _first(np.concatenate([part.camids for part in parts])),
        )


@attrs.frozen(eq=False)
class Pairs:
    """Query-gallery pairs of one person.

    Attributes:
        owners, positives: intp[P] each, query rows and gallery rows of the pairs that the rules leave.
        seen: before the rules.
    """

    owners: NDArray[np.intp]
    positives: NDArray[np.intp]
    seen: Seen

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
            seen=Seen(len(owners), themselves, _first(gallery.pids), _first(gallery.camids)),
        )


def check_some_match(query: Samples, matches: int, seen: Seen, protocol: EvalProtocol) -> None:
    """Refuse what has no score.

    Args:
        matches: how many there are.

    Raises:
        EvaluationError: no query has a positive; the message says why.
    """
    if matches:
        return
    if 0 < seen.same_person == seen.themselves:
        raise EvaluationError(_only_itself(seen.same_person))
    raise EvaluationError(_why_no_match(query, seen, protocol))


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
        f"no query has a match: all pairs of one person ({pairs}) are a query and the same image in the gallery; "
        "give other images of these persons as the gallery"
    )


def _why_no_match(query: Samples, seen: Seen, protocol: EvalProtocol) -> str:
    if seen.same_person == 0:
        return (
            "no query has a match: query and gallery have no person in common "
            f"(query pids {_few(query.pids)}, gallery pids {_few(seen.pids)})"
        )
    if protocol.scoring.ignored_cameras != "none":
        return (
            f"no query has a match: the camera rules (same_camera={protocol.scoring.same_camera}, "
            f"ignored_cameras={protocol.scoring.ignored_cameras}) remove all pairs of one person ({seen.same_person})"
        )
    return (
        f"no query has a match: the same-camera rule removes all pairs of one person ({seen.same_person}), as the "
        f"cameras are equal (query camids {_few(query.camids)}, gallery camids {_few(seen.camids)}); "
        "give the true camids, -1 for unknown, or evaluate with same_camera=keep"
    )


def _few(values: NDArray[np.int64]) -> str:
    distinct = _first(values)
    return ", ".join(map(str, distinct[:_NAMED])) + (", ..." if len(distinct) > _NAMED else "")


def _first(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest distinct values: one more than a message names, so that it knows whether there are more."""
    return np.unique(values)[: _NAMED + 1]
