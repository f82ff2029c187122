"""The card of a folder: what a reader should know of its images before a number."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from crbench.api import is_image
from crbench_mlr.own.listing import Listing
from crbench_mlr.own.near_copies import MEASURE, Look

_SHOWN = 8
"""Names of cameras."""


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
    rows = rows.take(np.unique(rows.keys, return_index=True)[1])  # an image of two roles is one
    people, per_person = np.unique(rows.pids[rows.pids >= 0], return_counts=True)
    card = {
        "layout": listing.layout,
        **_left_out(listing),
        **_alike(listing),
        "cameras": _cameras(listing),
        "images per person": _spread(per_person.tolist()),
        "persons seen by two cameras": sum(_seen_by_two(listing, pid) for pid in people.tolist()),
    }
    if not listing.has_cameras:
        del card["persons seen by two cameras"]
    if listing.has_groups:
        lengths = list(Counter((image.group or image.key, image.role) for image in listing.images).values())
        card["tracklets"] = f"{len(lengths)}, of {_spread(lengths)} images"
    if listing.has_rates:
        card["images below rate 1"] = int((rows.rates > 1).sum())
    if looks:
        card["width in pixels"] = _spread([look.size[0] for look in looks.values()])
        card["height in pixels"] = _spread([look.size[1] for look in looks.values()])
    pairs = list(near)
    card["exact duplicates"] = exact
    counted = "1 pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
    card["near copies"] = f"{counted}, {len(of_two_persons(listing, pairs))} of two persons ({MEASURE})"
    return card


def of_two_persons(listing: Listing, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs whose images are said to show two persons: a wrong label, or a person in the background."""
    person = {image.key: image.person for image in listing.images}
    return [(one, other) for one, other in pairs if person[one] != person[other]]


def _left_out(listing: Listing) -> dict[str, str]:
    """What a pattern or a list does not speak of, if it is an image."""
    count = sum(is_image(path) for path in listing.others)
    if not count:
        return {}
    return {"images left out": f"{count} of {count + len(listing.images)}, as names or lists do not speak of them"}


def _alike(listing: Listing) -> dict[str, str]:
    """Persons and cameras whose names differ in nothing that a reader sees at once, though they count as different."""
    found = []
    for names in ({image.person for image in listing.images}, {image.camera for image in listing.images}):
        folded: dict[str, list[str]] = {}
        for name in sorted(names):
            same = unicodedata.normalize("NFKC", name).casefold()
            folded.setdefault(same.lstrip("0") or "0" if same.isdecimal() else same, []).append(name)
        found += [" and ".join(group) for group in folded.values() if len(group) > 1]
    return {"names that are alike": f"{', '.join(found)}; they count as different"} if found else {}


def _cameras(listing: Listing) -> str:
    if not listing.has_cameras:
        return "not known, so a query may meet what its own camera saw a moment later"
    names = sorted({image.camera for image in listing.images})
    return f"{len(names)}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"


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
