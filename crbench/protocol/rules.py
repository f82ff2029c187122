"""`EvalProtocol`: every choice that changes a number, as data, with a fingerprint."""

from __future__ import annotations

import re
from typing import Any

import attrs
from attrs import validators as v

from crbench.protocol.hashing import digest

EVALUATION_VERSION = 2
"""Raised when scores change for unchanged features and protocol; part of every fingerprint."""

KERNELS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
"""Resampling kernels, by Pillow's names."""

_IDENTITIES = re.compile(r"official|random:[1-9]\d*/[1-9]\d*")
_LR_CAMERA = re.compile(r"none|per-id|per-id-and-folder|smaller|fixed:\d+")
_RATE_SOURCE = re.compile(r"oracle|presumed|size(:[1-9]\d*)?")
_ENCODER = re.compile(r"none|png|jpeg:([1-9]\d?|100)")
_SHOT = re.compile(r"multi|single:exact|single:mc:[1-9]\d*")
_CAMERA_RULE = re.compile(r"\d+:\d+(\+\d+)*")


def _matches(pattern: re.Pattern[str], expected: str) -> Any:
    def validate(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
        if not pattern.fullmatch(value):
            raise ValueError(f"protocol.{attribute.name}: {value!r} is not one of {expected}")

    return validate


def _rates(value: Any) -> tuple[float, ...]:
    return tuple(sorted({float(rate) for rate in value}))


def _check_rates(instance: object, attribute: attrs.Attribute[Any], value: tuple[float, ...]) -> None:
    if not all(1 < rate < 1000 for rate in value):
        raise ValueError(f"protocol.{attribute.name}: {list(value)} holds a rate outside (1, 1000)")


def _check_ranks(instance: object, attribute: attrs.Attribute[Any], value: tuple[int, ...]) -> None:
    if not value or min(value) < 1:
        raise ValueError(f"protocol.{attribute.name}: {list(value)} is not a list of ranks from 1 upwards")


def _camera_rules(text: Any) -> Any:
    """``3:2`` or ``6:1+2,3:2`` in one spelling; what is no text of this form stays as it is and is refused."""
    if not isinstance(text, str) or not all(_CAMERA_RULE.fullmatch(rule.strip()) for rule in text.split(",")):
        return text
    rules: dict[int, set[int]] = {}
    for rule in text.split(","):
        query, _, gallery = rule.strip().partition(":")
        rules.setdefault(int(query), set()).update(map(int, gallery.split("+")))
    return ",".join(f"{query}:{'+'.join(map(str, sorted(rules[query])))}" for query in sorted(rules))


def _check_camera_rules(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value != "none" and _camera_rules(value) is value:
        raise ValueError(f"protocol.{attribute.name}: {value!r} is not one of none, QUERY:GALLERY[+GALLERY...][,...]")


@attrs.frozen
class Reranking:
    """Parameters of k-reciprocal re-ranking, by the names of Zhong et al. (CVPR 2017).

    Attributes:
        k1: neighbours that may be reciprocal.
        k2: neighbours over which encodings are averaged, the row itself included.
        weight: lambda, the share of the original distance in the final one.

    Example:
        >>> str(Reranking.parse("lambda=0.5,k1=30"))
        'k1=30,k2=6,lambda=0.5'
    """

    k1: int = attrs.field(default=20, validator=v.ge(1))
    k2: int = attrs.field(default=6, validator=v.ge(1))
    weight: float = attrs.field(default=0.3, validator=[v.ge(0), v.le(1)])

    @classmethod
    def parse(cls, text: str) -> Reranking:
        """Parameters from ``k1=20,k2=6,lambda=0.3``; those that are not named keep the paper's values.

        Raises:
            ValueError: another form, or a value out of range.
        """
        values = dict(part.strip().partition("=")[::2] for part in text.split(","))
        try:
            if not set(values) <= {"k1", "k2", "lambda"}:
                raise ValueError
            k1, k2, weight = int(values.get("k1", 20)), int(values.get("k2", 6)), float(values.get("lambda", 0.3))
        except ValueError:
            raise ValueError(f"{text!r} is not of the form k1=20,k2=6,lambda=0.3") from None
        return cls(k1=k1, k2=k2, weight=weight)

    def __str__(self) -> str:
        return f"k1={self.k1},k2={self.k2},lambda={self.weight!r}"


def _reranking(text: Any) -> Any:
    """The one spelling of re-ranking parameters; ``none`` stays."""
    if text == "none" or not isinstance(text, str):
        return text
    try:
        return str(Reranking.parse(text))
    except ValueError as error:
        raise ValueError(f"protocol.rerank: {error.args[0]}") from error


def _choice(short: str, default: str, *options: str) -> Any:
    return attrs.field(default=default, validator=v.in_((default, *options)), metadata={"short": short})


def _field(short: str, default: Any, **kwargs: Any) -> Any:
    return attrs.field(default=default, metadata={"short": short}, **kwargs)


def _option(short: str, **kwargs: Any) -> Any:
    """A rule that is ``none`` unless asked for, and only then part of fingerprints; so adding it changed none."""
    return attrs.field(default="none", metadata={"short": short, "option": True}, **kwargs)


@attrs.frozen(kw_only=True)
class EvalProtocol:
    """Rules that turn a data set into splits and a split into scores.

    The defaults are the ``mlr`` protocol for a data set with official identities and a fixed LR camera (the reading of
    SING, Jiao et al., AAAI 2018, and LRAR, Wu et al., TIP 2023).

    Attributes:
        name: names the set of rules.
        identities: ``official`` train and test identities, or ``random:T/Q``, drawn anew in each trial.
        trials: number of splits (or of rate and gallery draws on an official split).
        query: ``lr-camera``: every LR-camera image of every test identity; ``official``: the data set's query list;
            ``one-per-id``: one random first-camera image per test identity, in a gallery of all test images.
        lr_camera: ``none`` (plain HR evaluation), ``fixed:C``, ``per-id`` (drawn per identity and trial),
            ``per-id-and-folder`` (drawn anew for train, query and gallery, as VPFA's scripts do), or ``smaller``
            (the camera with the smaller images is LR as it stands; nothing is shrunk).
        train_rates: rates at which training images are shrunk for LR training features; empty = native LR only.
        query_rates: rates from which a query's rate is drawn, uniformly; empty = queries stay as stored.
        rate_per: whether the rate is drawn per ``image`` or per ``identity``.
        rate_source: how the rate is known at test time: ``oracle`` (it is the protocol's own), ``presumed``, or
            estimated from the height of each query and gallery image: ``size:H`` takes H pixels as rate 1 and rounds
            to the nearest of 1 and `train_rates` (``size`` alone: 256, as Wu et al., TIP 2023).
        kernel, antialias, rounding: the resampling of LR images, see `crbench.data.degrade`.
        encoder: ``none`` (kept in memory), ``png`` or ``jpeg:QUALITY``, applied to LR images after shrinking.
        encode_hr: HR images pass the encoder too.
        shot: ``multi`` (all gallery images), ``single:exact`` (expectation over one random image per identity) or
            ``single:mc:N`` (mean over N such draws).
        distractors: gallery images of pid 0 or of a person who is no test identity: ``drop`` or ``keep``.
        junk: gallery images of pid -1: ``drop`` (never counted) or ``keep`` (counted as distractors).
        same_camera: gallery images of the query's person from the query's own camera: ``ignore`` or ``keep``.
        ties: a negative at exactly the distance of a positive counts as nearer (``pessimistic``) or not.
        ap: average precision as the mean precision at each positive (``step``) or with the trapezoid rule.
        ap_gallery: what AP and INP of a single-shot protocol refer to: ``drawn`` (neither is given) or ``all`` (all
            valid gallery images, beside a single-shot CMC).
        unmatched: queries without a match do not count (``ignore``), or count with zero in every mean (``zero``).
        normalise, distance: features are L2-normalised (``l2``) or not; ``cosine``, ``euclidean``, ``sqeuclidean``
            or the name of a plugin's distance.
        flip: features of a image and of its mirror image are averaged.
        ranks: ranks at which the CMC curve is printed.
        ignored_cameras: gallery images, of whomever, that a query does not meet, by cameras: ``3:2`` for SYSU-MM01,
            where cameras 2 and 3 are in one place; ``3:2,6:1+2`` for several. ``none`` = no such rule.
        rerank: ``k1=20,k2=6,lambda=0.3``: distances are re-ranked by k-reciprocal encoding with these parameters;
            ``none`` = as they are. With all gallery images only.

    Example:
        >>> mlr = EvalProtocol()
        >>> mlr.fingerprint() == EvalProtocol(query_rates=[4, 3, 2]).fingerprint()
        True
        >>> mlr.fingerprint() == EvalProtocol(kernel="bicubic").fingerprint()
        False
    """

    name: str = _field("p", "mlr", validator=v.min_len(1))
    identities: str = _field("ids", "official", validator=_matches(_IDENTITIES, "official, random:TRAIN/TEST"))
    trials: int = _field("n", 10, validator=[v.instance_of(int), v.ge(1)])
    query: str = _choice("q", "lr-camera", "official", "one-per-id")
    lr_camera: str = _field(
        "lr",
        "fixed:1",
        validator=_matches(_LR_CAMERA, "none, fixed:CAMERA, per-id, per-id-and-folder, smaller"),
    )
    train_rates: tuple[float, ...] = _field("tr", (2, 3, 4), converter=_rates, validator=_check_rates)
    query_rates: tuple[float, ...] = _field("qr", (2, 3, 4), converter=_rates, validator=_check_rates)
    rate_per: str = _choice("per", "image", "identity")
    rate_source: str = _field("rate", "oracle", validator=_matches(_RATE_SOURCE, "oracle, presumed, size, size:HEIGHT"))
    kernel: str = _field("ker", "bilinear", validator=v.in_(KERNELS))
    antialias: bool = _field("aa", True, validator=v.instance_of(bool))
    rounding: str = _choice("rnd", "floor", "round", "ceil")
    encoder: str = _field("enc", "none", validator=_matches(_ENCODER, "none, png, jpeg:1 to jpeg:100"))
    encode_hr: bool = _field("ehr", False, validator=v.instance_of(bool))
    shot: str = _field("shot", "single:exact", validator=_matches(_SHOT, "multi, single:exact, single:mc:N"))
    distractors: str = _choice("dis", "drop", "keep")
    junk: str = _choice("junk", "drop", "keep")
    same_camera: str = _choice("cam", "ignore", "keep")
    ties: str = _choice("tie", "pessimistic", "optimistic")
    ap: str = _choice("ap", "step", "trapezoid")
    ap_gallery: str = _choice("apg", "drawn", "all")
    unmatched: str = _choice("un", "ignore", "zero")
    normalise: str = _choice("norm", "l2", "none")
    distance: str = _field("d", "cosine", validator=v.min_len(1))
    flip: bool = _field("flip", False, validator=v.instance_of(bool))
    ranks: tuple[int, ...] = _field(
        "r", (1, 5, 10, 20), converter=lambda r: tuple(sorted({int(k) for k in r})), validator=_check_ranks
    )
    ignored_cameras: str = _option("igc", converter=_camera_rules, validator=_check_camera_rules)
    rerank: str = _option("rr", converter=_reranking, validator=v.instance_of(str))

    def __attrs_post_init__(self) -> None:
        if self.rerank != "none" and not self.multi_shot:
            raise ValueError(
                f"protocol.rerank: one gallery image per person (shot={self.shot}) has no neighbours to confirm it; "
                "set shot=multi or rerank=none"
            )

    @property
    def multi_shot(self) -> bool:
        """Whether a person may have several gallery images; only then do mAP and mINP mean what they say."""
        return self.shot == "multi"

    def describe(self) -> str:
        """All fields in one readable line, options only where they are asked for; equal lines mean equal rules."""
        parts = []
        for field in attrs.fields(EvalProtocol):
            value = getattr(self, field.name)
            if not _shows(field, value):
                continue
            if isinstance(value, tuple):
                value = ",".join(f"{item:g}" for item in value) or "-"
            parts.append(f"{field.metadata['short']}:{int(value) if isinstance(value, bool) else value}")
        return "|".join([*parts, f"v{EVALUATION_VERSION}"])

    def fingerprint(self) -> str:
        """12 hex digits of SHA-256 over `EVALUATION_VERSION` and all fields, options only where they are asked for."""
        return digest({"protocol": attrs.asdict(self, filter=_shows), "version": EVALUATION_VERSION})

    @property
    def reranking(self) -> Reranking | None:
        """The parameters of `rerank`, if any."""
        return None if self.rerank == "none" else Reranking.parse(self.rerank)

    def ignored(self) -> dict[int, tuple[int, ...]]:
        """Gallery cameras that a query does not meet, by the query's camera.

        Example:
            >>> EvalProtocol(ignored_cameras="6:2+1, 3:2").ignored()
            {3: (2,), 6: (1, 2)}
        """
        if self.ignored_cameras == "none":
            return {}
        pairs = (rule.split(":") for rule in self.ignored_cameras.split(","))
        return {int(query): tuple(map(int, gallery.split("+"))) for query, gallery in pairs}


def _shows(field: attrs.Attribute[Any], value: Any) -> bool:
    return "option" not in field.metadata or value != field.default
