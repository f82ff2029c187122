"""What holds of directions, in words; each sentence follows from numbers that stand in the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator

from crbench.analysis.directions import THRESHOLD, Directions, RateDirections
from crbench.analysis.offsets import Estimate
from crbench.analysis.tables import interval, number, per_cent
from crbench.harness.opened import People


def findings(found: Directions, people: People) -> list[str]:
    """The sentences, in the order of the tables."""
    return [
        *_common_direction(found),
        *_how_much(found),
        *_canonical(found),
        *_correlations(found),
        *_same_at_all_rates(found),
        *_aligners(found, people),
    ]


def _range(values: Iterator[float], digits: int = 2) -> str:
    """From the lowest to the highest of some numbers: ``0.52 to 0.59``."""
    listed = sorted(values)
    return " to ".join(dict.fromkeys(number(end, digits) for end in (listed[0], listed[-1])))


def _common_direction(found: Directions) -> Iterator[str]:
    rates = found.rates.values()
    there = [rate for rate, one in found.rates.items() if one.cosine.p <= 0.05 and one.cosine.consistency.low > 0]
    if len(there) == len(found.rates):
        yield (
            f"There is a common direction at {_every(found)}: the offsets of two people have a mean cosine of "
            f"{_range(one.cosine.consistency.value for one in rates)}, where offsets without one have 0. The cosine of "
            f"halves ({_range((one.cosine.value for one in rates), 3)}) says less: with more people it goes to 1 for "
            "any common part, however small, and it does not depend on which LR image belongs to which HR image."
        )
    elif there:
        shown = ", ".join(f"x{rate:g}" for rate in there)
        yield f"There is a common direction at {shown}; at the other rates these people do not show one."
    else:
        yield "These people show no common direction from LR to HR."


def _how_much(found: Directions) -> Iterator[str]:
    for rate, one in found.rates.items():
        full = list(one.explained)[len(one.explained) - len(one.centres) - 1]
        shift, linear, more = one.explained["shift"], one.explained[full], one.beyond_shift[full]
        yield f"At x{rate:g} a constant shift explains {per_cent(shift)} % of the squared offsets of other people. " + (
            f"A linear map explains {per_cent(linear)} %, {per_cent(more)} more"
            + (
                ": one direction is more than half of what such a map knows."
                if shift.value > linear.value / 2
                else ": most of what such a map knows is not one direction."
            )
            if more.low > 0
            else f"A linear map does not explain more ({per_cent(more)} points)."
        )


def _canonical(found: Directions) -> Iterator[str]:
    firsts = [one.canonical[0] for one in found.rates.values()]
    alone = [f"x{rate:g}" for rate, one in found.rates.items() if one.canonical[0].largest > 0.5]
    if alone:
        yield f"At {', '.join(alone)} the first canonical variate is a single image, which says nothing of others."
    yield (
        f"The first canonical correlation is {_range(one.correlation for one in firsts)}; broken pairs have "
        f"{_range(one.broken for one in firsts)}. On people that the maps were not fitted on it is "
        f"{_range(one.held_out.value for one in firsts)}."
    )


def _correlations(found: Directions) -> Iterator[str]:
    rates = [one.correlation for one in found.rates.values()]
    yield (
        f"{_range((100 * one.share_without.value for one in rates), 1)} % of people have an offset that correlates "
        f"above {THRESHOLD:g} with that of the others. With broken pairs it is "
        f"{_range((100 * one.broken_share for one in rates), 1)} %, by the means of both domains alone, and by chance "
        f"{_range((100 * one.chance_share for one in rates), 1)} %."
    )


def _same_at_all_rates(found: Directions) -> Iterator[str]:
    known = [(pair, own) for pair, own in found.angles.items() if not math.isnan(own.value)]
    if not known:
        return
    (one, other), widest = max(known, key=lambda item: item[1].value)
    lengths = ", ".join(f"{own.cosine.length.value:.3g} at x{rate:g}" for rate, own in found.rates.items())
    same = "is not the same at all rates" if widest.low > 0 else "may be the same at all rates"
    yield (
        f"The direction {same}: between x{one:g} and x{other:g} it turns by {interval(widest, 1)} degrees. Its length "
        f"is {lengths}."
    )


def _aligners(found: Directions, people: People) -> Iterator[str]:
    seen = " These people are those that it was fitted on; others get less." if people == "train" else ""
    for name in next(iter(found.rates.values())).centres:
        parts = [f"{per_cent(one.explained[name])} % at x{rate:g}" for rate, one in found.rates.items()]
        beyond = [f"{_signed(one.beyond_shift[name])} at x{rate:g}" for rate, one in found.rates.items()]
        yield (
            f"{name} explains {', '.join(parts)}; beyond what the constant shift explains {', '.join(beyond)} "
            f"points.{seen}"
        )
        yield _nearest(found, name)


def _signed(found: Estimate) -> str:
    text = per_cent(found)
    return text if text.startswith("-") else f"+{text}"


def _nearest(found: Directions, name: str) -> str:
    def text(rate: float, one: RateDirections) -> str:
        own = one.centres[name]
        return (
            f"{per_cent(own.reduction)} % at x{rate:g} (nearest for {number(100 * own.own_before.value, 1)} % of "
            f"people before, {number(100 * own.own_after.value, 1)} % after)"
        )

    return (
        f"{name} brings LR centres nearer to the own HR centre by "
        + ", ".join(text(rate, one) for rate, one in found.rates.items())
        + "."
    )


def _every(found: Directions) -> str:
    return "every rate" if len(found.rates) > 1 else f"x{next(iter(found.rates)):g}"
