"""The card of a folder: what a reader should know of its images before a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from crbench_mlr.own.listing import Listing
from crbench_mlr.own.near_copies import MEASURE, Look


def data_card(
    listing: Listing, looks: Mapping[str, Look], exact: int, near: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """Facts by name (JSON values).

    Args:
        looks: of all images that can be read.
        exact: images with the bytes of another one.
        near: pairs of near copies.
    """
    rows = listing.index.rows
    people, per_person = np.unique(rows.pids[rows.pids >= 0], return_counts=True)
    card = {
        "layout": listing.layout,
        "cameras": _cameras(listing),
        "images per person": _spread(per_person.tolist()),
        "persons seen by two cameras": sum(_seen_by_two(listing, pid) for pid in people.tolist()),
    }
    if not listing.has_cameras:
        del card["persons seen by two cameras"]
    if listing.has_groups:
        _, lengths = np.unique([image.group or image.key for image in listing.images], return_counts=True)
        card["tracklets"] = f"{len(lengths)}, of {_spread(lengths.tolist())} images"
    if listing.has_rates:
        card["images below rate 1"] = int((rows.rates > 1).sum())
    if looks:
        card["width in pixels"] = _spread([look.size[0] for look in looks.values()])
        card["height in pixels"] = _spread([look.size[1] for look in looks.values()])
    pairs = list(near)
    card["exact duplicates"] = exact
    card["near copies"] = f"{len(pairs)} pairs, {len(of_two_persons(listing, pairs))} of two persons ({MEASURE})"
    return card


def of_two_persons(listing: Listing, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs whose images are said to show two persons: a wrong label, or a person in the background."""
    person = {image.key: image.person for image in listing.images}
    return [(one, other) for one, other in pairs if person[one] != person[other]]


def _cameras(listing: Listing) -> str:
    if not listing.has_cameras:
        return "not known: no image of a query's person is left out of its gallery as being of its own camera"
    names = sorted({image.camera for image in listing.images})
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"{len(names)}: {shown}"


def _seen_by_two(listing: Listing, pid: int) -> bool:
    rows = listing.index.rows
    return len(np.unique(rows.camids[rows.pids == pid])) > 1


def _spread(values: list[int]) -> str:
    """Least, median and most.

    Example:
        >>> _spread([2, 8, 4])
        '2 to 8, median 4'
    """
    return f"{min(values, default=0)} to {max(values, default=0)}, median {np.median(values or [0]):g}"
