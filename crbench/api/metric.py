"""What a plugin offers as a score: one `Metric` for each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import attrs
from attrs import validators as v

from crbench.api.entry import API_VERSION, check_target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METRIC_NAME = re.compile(r"(?=.*[A-Z-])(?!R\d+$)[A-Za-z][A-Za-z0-9-]*")
"""What a metric may be called: no word of small letters, which name fields, and no ``R1``, which is of the CMC."""


def _name(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not METRIC_NAME.fullmatch(value):
        raise ValueError(
            f"metric name {value!r} is not one like mAP or first-tier: letters, digits and hyphens, with a capital or "
            "a hyphen (words in small letters name fields of results), and not R1, R5, ..., which are ranks of the CMC"
        )


@attrs.frozen
class Metric:
    """A score: a function from the ranks of a query's matches, or from its CMC curve, to one number.

    The function is called once for all queries, with arrays that `crbench.metrics` explains. It gives f64[q]; the score
    is the mean over the queries that count. The value of a query without a match is not looked at.

    Attributes:
        name: its key and heading everywhere, e.g. ``mAP`` or ``first-tier``; unique among all metrics.
        target: the function, or ``"package.module:function"``, loaded at first use.
        summary: one line for ``crbench plugins``.
        source: paper or code that it follows.
        needs: ``ranks``: called as ``target(ranks i64[P], starts i64[q + 1], candidates i64[q])``. It is undefined for
            a single-shot gallery, unless the protocol says ``ap_gallery=all``. ``cmc``: called as
            ``target(cmc f64[q, R])``, for galleries of either kind.
        higher_is_better: the direction.
        unit: ``fraction``: values are in [0, 1] and shown in per cent. ``number``: any finite value, shown as it is.
        formula: one line, as in ``mean over i of i / r_i``.
        default: given without being asked for (``--metric NAME`` asks).
        rules: fields of the protocol that the function takes by keyword, e.g. ``("ap",)``.
        extra: name of the pip extra to suggest when importing `target` fails.
        api: the `API_VERSION` that it was written for.

    Example:
        >>> Metric("first-match", lambda ranks, starts, candidates: 1 / ranks[starts[:-1]]).needs
        'ranks'
    """

    name: str = attrs.field(validator=_name)
    target: str | Callable[..., NDArray[np.float64]] = attrs.field(validator=check_target)
    summary: str = ""
    source: str = ""
    needs: Literal["ranks", "cmc"] = attrs.field(default="ranks", kw_only=True, validator=v.in_(("ranks", "cmc")))
    higher_is_better: bool = attrs.field(default=True, kw_only=True)
    unit: Literal["fraction", "number"] = attrs.field(
        default="fraction", kw_only=True, validator=v.in_(("fraction", "number"))
    )
    formula: str = attrs.field(default="", kw_only=True)
    default: bool = attrs.field(default=True, kw_only=True)
    rules: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    extra: str | None = attrs.field(default=None, kw_only=True)
    api: int = attrs.field(default=API_VERSION, kw_only=True)
