"""What a data set says about itself, and what a check of its files found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class DatasetInfo:
    """Facts that `crbench data info` prints and `crbench data verify` checks.

    Attributes:
        name: the data set's name, as in ``--dataset``.
        title: the source data set.
        url: where to ask for the data.
        reference: the paper to cite.
        licence: terms of use in one line.
        privacy: what users should know about the people in the images.
        layouts: expected folder trees below the data root, each as a few lines of text.
        counts: official figures, e.g. ``{"train images": 12936, "train identities": 751}``; empty = not known. Results
            on a copy with other figures say so, see `crbench.api.CountsImages`.
        opt_in: name of the environment variable that must be ``1`` before the data are read; None = none.
    """

    name: str
    title: str
    url: str = ""
    reference: str = ""
    licence: str = ""
    privacy: str = ""
    layouts: tuple[str, ...] = ()
    counts: Mapping[str, int] = attrs.field(factory=dict)
    opt_in: str | None = None


@attrs.frozen
class Verification:
    """What a check of a data set's files found.

    Attributes:
        root: the folder that holds the data set.
        found: figures of the files found, with the keys of `DatasetInfo.counts`.
        expected: the official figures.
        missing, extra, unreadable, duplicate, near: paths below `root`, or descriptions where a path is not known;
            `extra` are files that do not belong, `duplicate` are images with the bytes of another one, `near` are pairs
            of images of two persons that look alike.
        card: further facts by name (JSON values), for data sets that nobody published.
    """

    root: str
    found: Mapping[str, int]
    expected: Mapping[str, int]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    duplicate: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    card: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def ok(self) -> bool:
        """Whether all official figures agree and nothing is missing or unreadable."""
        return not (deviations(self.found, self.expected) or self.missing or self.unreadable)


def deviations(found: Mapping[str, int], published: Mapping[str, int]) -> tuple[str, ...]:
    """A text for each published count that a copy of a data set does not have.

    Example:
        >>> deviations({"images": 8, "test identities": 94}, {"images": 8, "test identities": 750})
        ('94 of 750 test identities',)
    """
    return tuple(
        f"{found.get(name, 0)} of {count} {name}" for name, count in published.items() if found.get(name) != count
    )
