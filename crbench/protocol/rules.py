"""`EvalProtocol`: every choice that changes a number, as data, with a fingerprint.

A rule is one attribute in one group. All else follows from it: its part of the fingerprint and of the line that
describes a protocol, ``--set protocol.NAME=VALUE``, its row in ``docs/protocol.md``, its part of the keys of cached
features and trained weights (group ``images``), and whether it counts for given features (group ``scoring``).
"""

from __future__ import annotations

from typing import Any

import attrs
from attrs import validators as v

from crbench.protocol.declare import Group, rule, switch
from crbench.protocol.hashing import digest
from crbench.protocol.parse import (
    Codec,
    Reranking,
    parse_camera_rules,
    parse_codec,
    parse_identities,
    parse_lr_camera,
    parse_rate_source,
    parse_reranking,
    parse_shot,
    spell_camera_rules,
)

EVALUATION_VERSION = 2
"""Raised when scores change for unchanged features and protocol; part of every fingerprint."""

KERNELS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
"""Resampling kernels, by Pillow's names."""


def _rates(value: Any) -> tuple[float, ...]:
    return tuple(sorted({float(rate) for rate in value}))


def _check_rates(instance: object, attribute: attrs.Attribute[Any], value: tuple[float, ...]) -> None:
    if not all(1 < rate < 1000 for rate in value):
        raise ValueError(f"protocol.{attribute.name}: {list(value)} holds a rate outside (1, 1000)")


def _one_camera_spelling(text: Any) -> Any:
    try:
        return spell_camera_rules(parse_camera_rules(text))
    except ValueError:
        return text  # the validator refuses it


def _one_reranking_spelling(text: Any) -> Any:
    try:
        return str(parse_reranking(text) or "none")
    except ValueError as error:
        raise ValueError(f"protocol.rerank: {error.args[0]}") from error


@attrs.frozen(kw_only=True)
class EvalProtocol:
    """Rules that turn a data set into splits and a split into scores.

    The defaults are the ``mlr`` protocol for a data set with official identities and a fixed LR camera (the reading of
    SING, Jiao et al., AAAI 2018, and LRAR, Wu et al., TIP 2023).

    Attributes:
        name: names the set of rules; all other attributes are rules, each explained where it is declared and, for
            users, in ``docs/protocol.md``.

    Raises:
        ValueError: a value out of range, or rules that exclude each other; the message names the field.

    Example:
        >>> mlr = EvalProtocol()
        >>> mlr.fingerprint() == EvalProtocol(query_rates=[4, 3, 2]).fingerprint()
        True
        >>> mlr.fingerprint() == EvalProtocol(kernel="bicubic").fingerprint()
        False
    """

    name: str = attrs.field(default="mlr", validator=v.min_len(1), metadata={"short": "p"})
    identities: str = rule(
        "split",
        "ids",
        "official",
        "training and test identities: the official ones, or so many, drawn anew in each trial",
        values="official, random:TRAIN/TEST",
        parse=parse_identities,
    )
    trials: int = rule(
        "split",
        "n",
        10,
        "number of splits, or of rate and gallery draws on an official split",
        values="a number from 1",
        validator=[v.instance_of(int), v.ge(1)],
    )
    query: str = rule(
        "split",
        "q",
        "lr-camera",
        "queries: every LR-camera image of every test identity, the data set's query list, or one random first-camera "
        "image per test identity, in a gallery of all test images",
        values=("lr-camera", "official", "one-per-id"),
    )
    lr_camera: str = rule(
        "split",
        "lr",
        "fixed:1",
        "the LR camera: none (plain HR evaluation), camera C, one drawn per identity and trial, one drawn anew for "
        "train, query and gallery as VPFA's scripts do, or the one with the smaller images, which are LR as they "
        "stand (nothing is shrunk)",
        values="none, fixed:CAMERA, per-id, per-id-and-folder, smaller",
        parse=parse_lr_camera,
    )
    train_rates: tuple[float, ...] = rule(
        "split",
        "tr",
        (2, 3, 4),
        "rates at which training images are shrunk for LR training features; empty = native LR images only",
        values="rates above 1",
        converter=_rates,
        validator=_check_rates,
    )
    query_rates: tuple[float, ...] = rule(
        "split",
        "qr",
        (2, 3, 4),
        "rates from which a query's rate is drawn, uniformly; empty = queries stay as stored",
        values="rates above 1",
        converter=_rates,
        validator=_check_rates,
    )
    rate_per: str = rule("split", "per", "image", "what a rate is drawn for", values=("image", "identity"))
    rate_source: str = rule(
        "split",
        "rate",
        "oracle",
        "how the rate is known at test time: it is the protocol's own (`oracle`), it is presumed, or it is estimated "
        "from the height of each query and gallery image: `size:H` takes H pixels as rate 1 and rounds to the nearest "
        "of 1 and `train_rates` (`size` alone: 256, as Wu et al., TIP 2023)",
        values="oracle, presumed, size, size:HEIGHT",
        parse=parse_rate_source,
    )
    kernel: str = rule("images", "ker", "bilinear", "resampling kernel of LR images, by Pillow's name", values=KERNELS)
    antialias: bool = switch(
        "images", "aa", True, "the kernel is widened by the rate; without, it samples its nearest source pixels only"
    )
    rounding: str = rule(
        "images", "rnd", "floor", "how each side of an LR image becomes whole", values=("floor", "round", "ceil")
    )
    encoder: str = rule(
        "images",
        "enc",
        "none",
        "codec that LR images pass after shrinking: none (kept in memory), PNG, or JPEG of a quality",
        values="none, png, jpeg:1 to jpeg:100",
        parse=parse_codec,
    )
    encode_hr: bool = switch("images", "ehr", False, "HR images pass the codec too")
    shot: str = rule(
        "scoring",
        "shot",
        "single:exact",
        "gallery: all images, the expectation over one random image per identity, or the mean over N such draws",
        values="multi, single:exact, single:mc:N",
        parse=parse_shot,
    )
    distractors: str = rule(
        "split",
        "dis",
        "drop",
        "gallery images of pid 0 or of a person who is no test identity are left out or kept",
        values=("drop", "keep"),
    )
    junk: str = rule(
        "scoring",
        "junk",
        "drop",
        "gallery images of pid -1 are never counted, or counted as distractors",
        values=("drop", "keep"),
    )
    same_camera: str = rule(
        "scoring",
        "cam",
        "ignore",
        "gallery images of the query's person from the query's own camera are left out or kept",
        values=("ignore", "keep"),
    )
    ties: str = rule(
        "scoring",
        "tie",
        "pessimistic",
        "a negative at exactly the distance of a positive counts as nearer, or as farther",
        values=("pessimistic", "optimistic"),
    )
    ap: str = rule(
        "scoring",
        "ap",
        "step",
        "average precision as the mean precision at each positive, or by the trapezoid rule",
        values=("step", "trapezoid"),
    )
    ap_gallery: str = rule(
        "scoring",
        "apg",
        "drawn",
        "what AP and INP of a single-shot protocol refer to: the drawn gallery (then neither is given), or all valid "
        "gallery images, beside a single-shot CMC",
        values=("drawn", "all"),
    )
    unmatched: str = rule(
        "scoring",
        "un",
        "ignore",
        "queries without a match do not count, or count with zero in every mean",
        values=("ignore", "zero"),
    )
    normalise: str = rule("scoring", "norm", "l2", "features are L2-normalised or not", values=("l2", "none"))
    distance: str = rule(
        "scoring",
        "d",
        "cosine",
        "distance of two features",
        values="cosine, euclidean, sqeuclidean, or the name of a plugin's",
        validator=v.min_len(1),
    )
    flip: bool = switch(
        "images", "flip", False, "features of an image and of its mirror image are averaged", test_only=True
    )
    ignored_cameras: str = rule(
        "scoring",
        "igc",
        "none",
        "gallery cameras that are left out, whoever is seen, for queries of a camera: `3:2` for SYSU-MM01, where "
        "queries of camera 3 and gallery images of camera 2 are of one place; `3:2,6:1+2` for several",
        values="none, QUERY:GALLERY[+GALLERY...][,...]",
        parse=parse_camera_rules,
        option=True,
        converter=_one_camera_spelling,
    )
    rerank: str = rule(
        "scoring",
        "rr",
        "none",
        "distances are re-ranked by k-reciprocal encoding (Zhong et al., CVPR 2017) with these parameters; with all "
        "gallery images only",
        values="none, k1=20,k2=6,lambda=0.3",
        option=True,
        converter=_one_reranking_spelling,
    )

    def __attrs_post_init__(self) -> None:
        if self.rerank != "none" and not self.multi_shot:
            raise ValueError(
                f"protocol.rerank: one gallery image per person (shot={self.shot}) has no neighbours to confirm it; "
                "set shot=multi or rerank=none"
            )

    @property
    def identity_counts(self) -> tuple[int, int] | None:
        """How many training and test identities are drawn; None for the official ones."""
        return parse_identities(self.identities)

    @property
    def full_height(self) -> int | None:
        """The height in pixels from which rates are estimated; None where they are known or presumed."""
        return parse_rate_source(self.rate_source)

    @property
    def codec(self) -> Codec | None:
        """The codec that `encoder` names, if any."""
        return parse_codec(self.encoder)

    @property
    def multi_shot(self) -> bool:
        """Whether a person may have several gallery images; only then do mAP and mINP mean what they say."""
        return self.shot == "multi"

    @property
    def draws(self) -> int | None:
        """How many single-shot galleries are drawn; None where none is."""
        return parse_shot(self.shot)

    @property
    def ignored(self) -> dict[int, tuple[int, ...]]:
        """Gallery cameras that are left out for queries of a camera, by that camera."""
        return parse_camera_rules(self.ignored_cameras)

    @property
    def reranking(self) -> Reranking | None:
        """The parameters of `rerank`, if any."""
        return parse_reranking(self.rerank)

    def describe(self) -> str:
        """All fields in one readable line, options only where they are asked for; equal lines mean equal rules."""
        shorts = {field.name: field.metadata["short"] for field in attrs.fields(type(self))}
        parts = [f"{shorts[name]}:{_plain_text(value)}" for name, value in self._shown().items()]
        return "|".join([*parts, f"v{EVALUATION_VERSION}"])

    def fingerprint(self) -> str:
        """12 hex digits of SHA-256 over `EVALUATION_VERSION` and all fields, options only where they are asked for."""
        return digest({"protocol": self._shown(), "version": EVALUATION_VERSION})

    def image_rules(self, *, training: bool = False) -> dict[str, Any]:
        """The rules that decide what LR and HR images and their features look like, as JSON values, for cache keys.

        Args:
            training: only those that change what a network is trained on.
        """
        fields = attrs.fields_dict(type(self))
        return {
            name: value
            for name, value in self._shown().items()
            if fields[name].metadata.get("group") == "images" and not (training and fields[name].metadata["test_only"])
        }

    def _shown(self) -> dict[str, Any]:
        """All fields by name; options only where they are asked for."""
        return attrs.asdict(self, filter=_is_shown)


def rule_names(group: Group, record: type[EvalProtocol] = EvalProtocol) -> tuple[str, ...]:
    """The rules of a group.

    Example:
        >>> rule_names("images")
        ('kernel', 'antialias', 'rounding', 'encoder', 'encode_hr', 'flip')
    """
    return tuple(field.name for field in attrs.fields(record) if field.metadata.get("group") == group)


def _is_shown(field: attrs.Attribute[Any], value: Any) -> bool:
    return not field.metadata.get("option") or value != field.default


def _plain_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{item:g}" for item in value) or "-"
    return str(int(value) if isinstance(value, bool) else value)
