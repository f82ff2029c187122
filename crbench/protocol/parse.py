"""The spellings of protocol values, each parsed here and nowhere else.

`EvalProtocol` checks its fields with these functions and offers what they give as properties. Each takes the text of a
field and raises `ValueError` for a text of another form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs
from attrs import validators as v

from crbench.numerals import parse_integer, parse_number

_IDENTITIES = re.compile(r"official|random:([1-9]\d*)/([1-9]\d*)", re.ASCII)
_LR_CAMERA = re.compile(r"none|per-id|per-id-and-folder|smaller|fixed:(\d+)", re.ASCII)
_RATE_SOURCE = re.compile(r"oracle|presumed|(size)(?::([1-9]\d*))?", re.ASCII)
_CODEC = re.compile(r"none|(png)|(jpeg):([1-9]\d?|100)", re.ASCII)
_STEP = re.compile(r"(blur|noise|jpeg):(\d+(?:\.\d+)?)|(shrink)", re.ASCII)
_SIZE = re.compile(r"stored|([1-9]\d{0,3})x([1-9]\d{0,3})", re.ASCII)
_SHOT = re.compile(r"multi|single:exact|single:mc:([1-9]\d*)", re.ASCII)
_CAMERA_RULE = re.compile(r"\s*(\d+):(\d+(?:\+\d+)*)\s*", re.ASCII)

_BEST_QUALITY = 100
_STRONGEST = 256
"""Of blur and noise, in pixels and grey levels; beyond it nothing is left."""

_FULL_HEIGHT = 256
"""Pixels; the input height of Wu et al., TIP 2023."""


def parse_identities(text: str) -> tuple[int, int] | None:
    """How many training and test identities ``random:T/Q`` draws; None for ``official`` ones.

    Example:
        >>> parse_identities("random:1367/100")
        (1367, 100)
    """
    match = _match(_IDENTITIES, text)
    return None if match[1] is None else (int(match[1]), int(match[2]))


def parse_lr_camera(text: str) -> int | None:
    """The camera of ``fixed:C``; None for the rules that name no camera.

    Example:
        >>> parse_lr_camera("fixed:2"), parse_lr_camera("per-id")
        (2, None)
    """
    camera = _match(_LR_CAMERA, text)[1]
    return None if camera is None else int(camera)


def parse_rate_source(text: str) -> int | None:
    """The height in pixels at which an image has rate 1, of ``size:H`` or ``size``; None where rates are not estimated.

    Example:
        >>> parse_rate_source("size:128"), parse_rate_source("size"), parse_rate_source("oracle")
        (128, 256, None)
    """
    match = _match(_RATE_SOURCE, text)
    return None if match[1] is None else int(match[2] or _FULL_HEIGHT)


@attrs.frozen
class Codec:
    """An image format in which pixels are written and read back.

    Attributes:
        form: ``png`` or ``jpeg``.
        quality: of JPEG, from 1 to 100; None for PNG.
    """

    form: str
    quality: int | None = None


def parse_codec(text: str) -> Codec | None:
    """The codec of ``png`` or ``jpeg:QUALITY``; None for ``none``.

    Example:
        >>> parse_codec("jpeg:75")
        Codec(form='jpeg', quality=75)
    """
    match = _match(_CODEC, text)
    if match[2]:
        return Codec(match[2], int(match[3]))
    return Codec(match[1]) if match[1] else None


@attrs.frozen
class Step:
    """One step on the way from a stored image to its LR copy.

    Attributes:
        kind: ``shrink``, ``blur``, ``noise`` or ``jpeg``.
        amount: standard deviation in pixels (blur) or grey levels (noise), quality (jpeg); 0 of ``shrink``.
    """

    kind: str
    amount: float = 0.0


def parse_degradation(text: str) -> tuple[Step, ...]:
    """The steps of ``blur:1,shrink,noise:4,jpeg:50``, in order; shrinking is the first where its place is not given.

    Example:
        >>> [step.kind for step in parse_degradation("noise:4,jpeg:50")]
        ['shrink', 'noise', 'jpeg']
        >>> [step.kind for step in parse_degradation("none")]
        ['shrink']
    """
    if text == "none":
        return (Step("shrink"),)
    matches = [_match(_STEP, part) for part in (text.split(",") if isinstance(text, str) else [text])]
    steps = [Step("shrink") if match[3] else Step(match[1], float(match[2])) for match in matches]
    shrinks = sum(step.kind == "shrink" for step in steps)
    if shrinks > 1 or not all(_fits(step) for step in steps):
        raise ValueError(text)
    return (*(() if shrinks else (Step("shrink"),)), *steps)


def _fits(step: Step) -> bool:
    if step.kind == "jpeg":
        return step.amount == int(step.amount) and 1 <= step.amount <= _BEST_QUALITY
    return step.kind == "shrink" or 0 < step.amount < _STRONGEST


def parse_size(text: str) -> tuple[int, int] | None:
    """The height and width of ``HEIGHTxWIDTH``; None for ``stored``.

    Example:
        >>> parse_size("256x128"), parse_size("stored")
        ((256, 128), None)
    """
    match = _match(_SIZE, text)
    return None if match[1] is None else (int(match[1]), int(match[2]))


def parse_shot(text: str) -> int | None:
    """The number of draws of ``single:mc:N``; None where no gallery is drawn.

    Example:
        >>> parse_shot("single:mc:10"), parse_shot("single:exact")
        (10, None)
    """
    draws = _match(_SHOT, text)[1]
    return None if draws is None else int(draws)


def parse_camera_rules(text: str) -> dict[int, tuple[int, ...]]:
    """Gallery cameras by the query's camera, all sorted, from ``3:2`` or ``6:1+2,3:2``; none for ``none``.

    Example:
        >>> parse_camera_rules("6:2+1, 3:2")
        {3: (2,), 6: (1, 2)}
    """
    if text == "none":
        return {}
    rules: dict[int, set[int]] = {}
    for rule in text.split(",") if isinstance(text, str) else [text]:
        match = _match(_CAMERA_RULE, rule)
        rules.setdefault(int(match[1]), set()).update(map(int, match[2].split("+")))
    return {query: tuple(sorted(rules[query])) for query in sorted(rules)}


def spell_camera_rules(rules: Mapping[int, tuple[int, ...]]) -> str:
    """The one spelling of what `parse_camera_rules` gives.

    Example:
        >>> spell_camera_rules({3: (2,), 6: (1, 2)})
        '3:2,6:1+2'
    """
    return ",".join(f"{query}:{'+'.join(map(str, gallery))}" for query, gallery in rules.items()) or "none"


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
        try:
            values = dict(part.strip().partition("=")[::2] for part in text.split(","))
            if not set(values) <= {"k1", "k2", "lambda"}:
                raise ValueError
            k1, k2 = parse_integer(values.get("k1", "20")), parse_integer(values.get("k2", "6"))
            weight = parse_number(values.get("lambda", "0.3"))
        except (AttributeError, ValueError):
            raise ValueError(f"{text!r} is not of the form k1=20,k2=6,lambda=0.3") from None
        return cls(k1=k1, k2=k2, weight=weight)

    def __str__(self) -> str:
        return f"k1={self.k1},k2={self.k2},lambda={self.weight!r}"


def parse_reranking(text: str) -> Reranking | None:
    """The parameters of `Reranking.parse`; None for ``none``."""
    return None if text == "none" else Reranking.parse(text)


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not of the form {pattern.pattern}")
    return match
