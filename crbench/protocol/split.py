"""`SplitRules`: which images are training, query and gallery images, and at which rates."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from attrs import validators as v

from crbench.protocol.declare import RuleGroup, rule
from crbench.protocol.parse import parse_identities, parse_lr_camera, parse_rate_source


def _rates(value: Any) -> tuple[float, ...]:
    return tuple(sorted({float(rate) for rate in value}))


def _check_rates(instance: object, attribute: attrs.Attribute[Any], value: tuple[float, ...]) -> None:
    if not all(1 < rate < 1000 for rate in value):
        raise ValueError(f"protocol.{attribute.name}: {list(value)} holds a rate outside (1, 1000)")


def _check_gallery_rates(instance: object, attribute: attrs.Attribute[Any], value: tuple[float, ...]) -> None:
    if not all(1 <= rate < 1000 for rate in value):
        raise ValueError(f"protocol.{attribute.name}: {list(value)} holds a rate outside [1, 1000)")


@attrs.frozen(kw_only=True)
class SplitRules(RuleGroup):
    """Rules that turn a data set into the splits of its trials.

    Raises:
        ValueError: a value out of range; the message names the rule.
    """

    title: ClassVar[str] = "Split: which images, at which rates"

    identities: str = rule(
        "ids",
        "official",
        "training and test identities: the official ones, or so many, drawn anew in each trial",
        values="official, random:TRAIN/TEST",
        parse=parse_identities,
    )
    trials: int = rule(
        "n",
        10,
        "number of splits, or of rate and gallery draws on an official split",
        values="a number from 1",
        validator=[v.instance_of(int), v.ge(1)],
    )
    query: str = rule(
        "q",
        "lr-camera",
        "queries: every LR-camera image of every test identity, the data set's query list, or one random first-camera "
        "image per test identity, in a gallery of all test images",
        values=("lr-camera", "official", "one-per-id"),
    )
    lr_camera: str = rule(
        "lr",
        "fixed:1",
        "the LR camera: none (plain HR evaluation), camera C, one drawn per identity and trial, one drawn anew for "
        "train, query and gallery as VPFA's scripts do, or the one with the smaller images, which are LR as they "
        "stand (nothing is shrunk)",
        values="none, fixed:CAMERA, per-id, per-id-and-folder, smaller",
        parse=parse_lr_camera,
    )
    train_rates: tuple[float, ...] = rule(
        "tr",
        (2, 3, 4),
        "rates at which training images are shrunk for LR training features; empty = native LR images only",
        values="rates above 1",
        converter=_rates,
        validator=_check_rates,
    )
    query_rates: tuple[float, ...] = rule(
        "qr",
        (2, 3, 4),
        "rates from which a query's rate is drawn, uniformly; empty = queries stay as stored",
        values="rates above 1",
        converter=_rates,
        validator=_check_rates,
    )
    gallery_rates: tuple[float, ...] = rule(
        "gr",
        (),
        "rates from which the rate of each gallery image is drawn, uniformly, 1 = as it is stored; empty = the gallery "
        "stays as stored",
        values="rates from 1",
        converter=_rates,
        validator=_check_gallery_rates,
        option=True,
    )
    rate_per: str = rule("per", "image", "what a rate is drawn for", values=("image", "identity"))
    rate_source: str = rule(
        "rate",
        "oracle",
        "how the rate is known at test time: it is the protocol's own (`oracle`), it is presumed, or it is estimated "
        "from the height of each query and gallery image: `size:H` takes H pixels as rate 1 and rounds to the nearest "
        "of 1 and `train_rates` (`size` alone: 256, as Wu et al., TIP 2023)",
        values="oracle, presumed, size, size:HEIGHT",
        parse=parse_rate_source,
    )
    distractors: str = rule(
        "dis",
        "drop",
        "gallery images of pid 0 or of a person who is no test identity are left out or kept",
        values=("drop", "keep"),
    )

    @property
    def identity_counts(self) -> tuple[int, int] | None:
        """How many training and test identities are drawn; None for the official ones."""
        return parse_identities(self.identities)

    @property
    def shrinks_queries(self) -> bool:
        """Whether queries are shrunk; if not, they are as they are stored."""
        return bool(self.query_rates) and self.lr_camera not in ("none", "smaller")

    @property
    def has_bound(self) -> bool:
        """Whether the same protocol without `query_rates` has the same queries unshrunk, and the same gallery."""
        return self.shrinks_queries and self.lr_camera != "per-id-and-folder"

    @property
    def full_height(self) -> int | None:
        """The height in pixels from which rates are estimated; None where they are known or presumed."""
        return parse_rate_source(self.rate_source)
