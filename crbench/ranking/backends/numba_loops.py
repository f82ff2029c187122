"""The loops of the CPU's counter, compiled; `crbench.ranking.backends.numba` calls them."""

from __future__ import annotations

import numpy as np

from crbench.ranking.gemm.products import BASE
from crbench.ranking.jit import compiled

_CHUNK = 256
"""Items that are compared with one positive after another."""

_FEW = 48
"""Up to so many positives, comparing with one after another is faster than a search per item."""


@compiled("void(f4[::1], f4, f4[::1], f4[::1], f4[::1])")
def _scores(products, row, factors, terms, scores):  # type: ignore[no-untyped-def]
    """Scores of one query."""
    for item in range(len(scores)):
        scores[item] = products[item] * (row * factors[item]) + terms[item]


@compiled("void(i4[::1], i4[::1], i4[::1], f4, f4[::1], f4[::1], f4[::1])")
def _scores_of_digits(high, cross, other, row, factors, terms, scores):  # type: ignore[no-untyped-def]
    """Scores of one query from the three sums of each product; see `crbench.ranking.gemm.products.floats`."""
    share = np.float32(1 / BASE)
    for item in range(len(scores)):
        low = np.float32(np.float32(np.int32(cross[item] + other[item])) * share)
        scores[item] = np.float32(np.float32(high[item]) + low) * (row * factors[item]) + terms[item]


@compiled("void(f4[::1], i8, i8[::1], i8[::1])")
def _hide(scores, pid, pids, by_pid):  # type: ignore[no-untyped-def]
    """NaN, which compares with nothing, for items of the query's own person."""
    place, end = 0, len(pids)
    while place < end:
        middle = (place + end) // 2
        if pids[by_pid[middle]] < pid:
            place = middle + 1
        else:
            end = middle
    while place < len(pids) and pids[by_pid[place]] == pid:
        scores[by_pid[place]] = np.nan
        place += 1


@compiled("UniTuple(i8, 2)(f4, f4[::1], f4[::1], i8, i8)")
def _passed(score, low, high, first, last):  # type: ignore[no-untyped-def]
    """Of rising bounds, the ends of those that a score is surely and possibly ahead of."""
    surely, end = first, last
    while surely < end:
        middle = (surely + end) // 2
        if score > high[middle]:
            surely = middle + 1
        else:
            end = middle
    possibly, end = surely, last
    while possibly < end:
        middle = (possibly + end) // 2
        if score >= low[middle]:
            possibly = middle + 1
        else:
            end = middle
    return surely, possibly


@compiled("UniTuple(i8, 2)(f4[::1], f4, f4)")
def _tally(scores, low, high):  # type: ignore[no-untyped-def]
    """How many scores are surely and possibly ahead of a positive; i32 and no branch, which vectorises best."""
    surely, possibly = np.int32(0), np.int32(0)
    for item in range(len(scores)):
        surely = np.int32(surely + np.int32(scores[item] > high))
        possibly = np.int32(possibly + np.int32(scores[item] >= low))
    return surely, possibly


@compiled("void(f4[::1], f4, f4, u1[::1])")
def _mark(scores, low, high, unsure):  # type: ignore[no-untyped-def]
    """Mark scores that are neither surely ahead of a positive nor surely behind it."""
    for item in range(len(scores)):
        unsure[item] |= np.uint8(scores[item] >= low) & np.uint8(scores[item] <= high)


@compiled("i8(f4[::1], i8, i8, f4[::1], f4[::1], i4[::1], u1[::1], i8[:, ::1], i8, i8)")
def _count_few(scores, first, last, low, high, leaps, unsure, doubts, asker, filled):  # type: ignore[no-untyped-def]
    """Count the items against one positive after another, the farthest first; the number of doubts so far."""
    for start in range(0, len(scores), _CHUNK):
        chunk = scores[start : start + _CHUNK]
        certain = True
        for positive in range(first, last):
            surely, possibly = _tally(chunk, low[positive], high[positive])
            if possibly == 0:
                break
            if surely < possibly:
                certain = False
                _mark(chunk, low[positive], high[positive], unsure)
            leaps[positive - first] += surely
            if positive > first:
                leaps[positive - first - 1] -= surely
        if not certain:
            for item in range(len(chunk)):
                if unsure[item]:
                    unsure[item] = 0
                    surely, possibly = _passed(chunk[item], low, high, first, last)
                    doubts[0, filled], doubts[1, filled] = asker, start + item
                    doubts[2, filled], doubts[3, filled] = surely, possibly
                    filled += 1
    return filled


@compiled("i8(f4[::1], i8, i8, f4[::1], f4[::1], i4[::1], i8[::1], i8, i8[:, ::1], i8, i8)")
def _count_many(scores, first, last, low, high, leaps, columns, width, doubts, asker, filled):  # type: ignore[no-untyped-def]
    """Count the items by a search for each that passes the farthest positive; the number of doubts so far."""
    for item in range(len(scores)):
        if scores[item] >= low[first]:
            surely, possibly = _passed(scores[item], low, high, first, last)
            if surely > first:
                leaps[(surely - 1 - first) * width + columns[item]] += 1
            if possibly > surely:
                doubts[0, filled], doubts[1, filled] = asker, item
                doubts[2, filled], doubts[3, filled] = surely, possibly
                filled += 1
    return filled


@compiled(
    "UniTuple(i8, 2)(i8, i8, i8[::1], i8, f4[:, ::1], i4[:, :, ::1], f4[::1], f4[::1], f4[:, ::1], i8[::1], i8[::1],"
    " i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i4[::1], f4[::1], f4[::1], i8[:, ::1], i8[:, ::1], i8)"
)
def count(  # type: ignore[no-untyped-def]
    start,
    stop,
    order,
    offset,
    products,
    sums,
    row_factors,
    factors,
    terms,
    item_pids,
    by_pid,
    tasks,
    rows,
    pids,
    first,
    slots,
    widths,
    leaps,
    low,
    high,
    columns,
    doubts,
    filled,
):
    """Count for some askers in this order: the place at which `doubts` is full, and how many there are.

    `products` are those of the rows from `offset` on, or `sums` what they are made of; the other one is empty.
    """
    scores = np.empty(len(factors), dtype=np.float32)
    unsure = np.zeros(_CHUNK, dtype=np.uint8)
    for place in range(start, stop):
        if filled + len(scores) > doubts.shape[1]:
            return place, filled
        asker = order[place]
        task, row, mine, last = tasks[asker], rows[asker], first[asker], first[asker + 1]
        width, counts = widths[asker], leaps[slots[asker] :]
        at, factor, term = row - offset, row_factors[row], terms[task]
        if len(products):
            _scores(products[at], factor, factors, term, scores)
        else:
            _scores_of_digits(sums[0, at], sums[1, at], sums[2, at], factor, factors, term, scores)
        _hide(scores, pids[asker], item_pids, by_pid)
        if width == 1 and last - mine <= _FEW:
            filled = _count_few(scores, mine, last, low, high, counts, unsure, doubts, asker, filled)
        else:
            filled = _count_many(scores, mine, last, low, high, counts, columns[task], width, doubts, asker, filled)
    return stop, filled


@compiled("void(i8, i8, f4[:, ::1], f4[:, ::1], i8[::1], i8[::1], i8, f8[::1])", fastmath={"reassoc", "contract"})
def dots(start, stop, a, b, rows, items, cut, found):  # type: ignore[no-untyped-def]
    for pair in range(start, stop):
        mine, other = a[rows[pair]], b[items[pair]]
        total = 0.0
        for column in range(cut):
            total += np.float64(mine[column]) * np.float64(other[column])
        found[pair] = total


@compiled(
    "i8(i8[::1], i8[::1], i8[::1], i8[::1], f8[::1], f8[::1], f8[::1], f8[::1],"
    " i8[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[:, ::1], i8[:, ::1])"
)
def decide(  # type: ignore[no-untyped-def]
    askers, items, begin, end, near, errors, limits, allowed, tasks, first, slots, widths, leaps, columns, left
):
    """Count what is nearer than positives in question; how many pairs are left."""
    filled = 0
    for doubt in range(len(askers)):
        asker, distance = askers[doubt], near[doubt]
        width = widths[asker]
        slot = slots[asker] + columns[tasks[asker], items[doubt]]
        for positive in range(begin[doubt], end[doubt]):
            error = errors[doubt] + allowed[positive]
            if distance < limits[positive] - error:
                before = positive - first[asker]
                leaps[slot + before * width] += 1
                if before > 0:  # the farther ones are decided one by one
                    leaps[slot + (before - 1) * width] -= 1
            elif not distance > limits[positive] + error:
                left[0, filled], left[1, filled] = doubt, positive
                filled += 1
    return filled


@compiled("void(i8, i8, i8[::1], i8[::1], i8[::1], i4[::1])")
def add_up(start, stop, first, slots, widths, leaps):  # type: ignore[no-untyped-def]
    for asker in range(start, stop):
        width = widths[asker]
        nearest = slots[asker] + (first[asker + 1] - first[asker] - 1) * width
        for place in range(nearest - 1, slots[asker] - 1, -1):
            leaps[place] += leaps[place + width]
