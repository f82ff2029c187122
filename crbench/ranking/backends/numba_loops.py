"""The loops of the CPU's counter, compiled; `crbench.ranking.backends.numba` calls them."""

from __future__ import annotations

import numpy as np

from crbench.ranking.gemm import INT8_BASE
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
def _scores_of_int8(first, cross, other, row, factors, terms, scores):  # type: ignore[no-untyped-def]
    """Scores of one query from the three sums of each product; see `crbench.ranking.gemm.products.floats`."""
    share = np.float32(1 / INT8_BASE)
    for item in range(len(scores)):
        low = np.float32(np.float32(np.int32(cross[item] + other[item])) * share)
        scores[item] = np.float32(np.float32(first[item]) + low) * (row * factors[item]) + terms[item]


@compiled("void(f4[::1], i8, i8[::1], i8[::1])")
def _hide(scores, label, labels, by_label):  # type: ignore[no-untyped-def]
    """NaN, which compares with nothing, for items of the query's own person."""
    place, end = 0, len(labels)
    while place < end:
        middle = (place + end) // 2
        if labels[by_label[middle]] < label:
            place = middle + 1
        else:
            end = middle
    while place < len(labels) and labels[by_label[place]] == label:
        scores[by_label[place]] = np.nan
        place += 1


@compiled("UniTuple(i8, 2)(f4, f4[::1], f4[::1], i8, i8)")
def _passed(score, lower, upper, first, last):  # type: ignore[no-untyped-def]
    """Of rising bounds, the ends of those that a score is surely and possibly ahead of."""
    surely, end = first, last
    while surely < end:
        middle = (surely + end) // 2
        if score > upper[middle]:
            surely = middle + 1
        else:
            end = middle
    possibly, end = surely, last
    while possibly < end:
        middle = (possibly + end) // 2
        if score >= lower[middle]:
            possibly = middle + 1
        else:
            end = middle
    return surely, possibly


@compiled("UniTuple(i8, 2)(f4[::1], f4, f4)")
def _count_ahead(scores, lower, upper):  # type: ignore[no-untyped-def]
    """How many scores are surely and possibly ahead of a positive; i32 and no branch, which vectorises best."""
    surely, possibly = np.int32(0), np.int32(0)
    for item in range(len(scores)):
        surely = np.int32(surely + np.int32(scores[item] > upper))
        possibly = np.int32(possibly + np.int32(scores[item] >= lower))
    return surely, possibly


@compiled("void(f4[::1], f4, f4, u1[::1])")
def _mark(scores, lower, upper, unsure):  # type: ignore[no-untyped-def]
    """Mark scores that are neither surely ahead of a positive nor surely behind it."""
    for item in range(len(scores)):
        unsure[item] |= np.uint8(scores[item] >= lower) & np.uint8(scores[item] <= upper)


@compiled("i8(f4[::1], i8, i8, f4[::1], f4[::1], i4[::1], u1[::1], i8[:, ::1], i8, i8)")
def _count_few(scores, first, last, lower, upper, count_diffs, unsure, uncertain, query_task, filled):  # type: ignore[no-untyped-def]
    """Count the items against one positive after another, the farthest first; the number of uncertain so far."""
    for start in range(0, len(scores), _CHUNK):
        chunk = scores[start : start + _CHUNK]
        certain = True
        for positive in range(first, last):
            surely, possibly = _count_ahead(chunk, lower[positive], upper[positive])
            if possibly == 0:
                break
            if surely < possibly:
                certain = False
                _mark(chunk, lower[positive], upper[positive], unsure)
            count_diffs[positive - first] += surely
            if positive > first:
                count_diffs[positive - first - 1] -= surely
        if not certain:
            for item in range(len(chunk)):
                if unsure[item]:
                    unsure[item] = 0
                    surely, possibly = _passed(chunk[item], lower, upper, first, last)
                    uncertain[0, filled], uncertain[1, filled] = query_task, start + item
                    uncertain[2, filled], uncertain[3, filled] = surely, possibly
                    filled += 1
    return filled


@compiled("i8(f4[::1], i8, i8, f4[::1], f4[::1], i4[::1], i8[::1], i8, i8[:, ::1], i8, i8)")
def _count_many(scores, first, last, lower, upper, count_diffs, columns, width, uncertain, query_task, filled):  # type: ignore[no-untyped-def]
    """Count the items by a search for each that passes the farthest positive; the number of uncertain so far."""
    for item in range(len(scores)):
        if scores[item] >= lower[first]:
            surely, possibly = _passed(scores[item], lower, upper, first, last)
            if surely > first:
                count_diffs[(surely - 1 - first) * width + columns[item]] += 1
            if possibly > surely:
                uncertain[0, filled], uncertain[1, filled] = query_task, item
                uncertain[2, filled], uncertain[3, filled] = surely, possibly
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
    item_labels,
    by_label,
    tasks,
    rows,
    labels,
    first,
    slots,
    widths,
    count_diffs,
    lower,
    upper,
    columns,
    uncertain,
    filled,
):
    """Count for some query_tasks in this order: the place at which `uncertain` is full, and how many there are.

    `products` are those of the rows from `offset` on, or `sums` what they are made of; the other one is empty.
    """
    scores = np.empty(len(factors), dtype=np.float32)
    unsure = np.zeros(_CHUNK, dtype=np.uint8)
    for place in range(start, stop):
        if filled + len(scores) > uncertain.shape[1]:
            return place, filled
        query_task = order[place]
        task, row, mine, last = tasks[query_task], rows[query_task], first[query_task], first[query_task + 1]
        width, counts = widths[query_task], count_diffs[slots[query_task] :]
        at, factor, term = row - offset, row_factors[row], terms[task]
        if len(products):
            _scores(products[at], factor, factors, term, scores)
        else:
            _scores_of_int8(sums[0, at], sums[1, at], sums[2, at], factor, factors, term, scores)
        _hide(scores, labels[query_task], item_labels, by_label)
        if width == 1 and last - mine <= _FEW:
            filled = _count_few(scores, mine, last, lower, upper, counts, unsure, uncertain, query_task, filled)
        else:
            filled = _count_many(
                scores, mine, last, lower, upper, counts, columns[task], width, uncertain, query_task, filled
            )
    return stop, filled


@compiled("void(i8, i8, f4[:, ::1], f4[:, ::1], i8[::1], i8[::1], i8, f8[::1])", fastmath={"reassoc", "contract"})
def dots(start, stop, a, b, rows, items, prefix, found):  # type: ignore[no-untyped-def]
    for pair in range(start, stop):
        mine, other = a[rows[pair]], b[items[pair]]
        total = 0.0
        for column in range(prefix):
            total += np.float64(mine[column]) * np.float64(other[column])
        found[pair] = total


@compiled(
    "i8(i8[::1], i8[::1], i8[::1], i8[::1], f8[::1], f8[::1], f8[::1], f8[::1],"
    " i8[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[:, ::1], i8[:, ::1])"
)
def decide(  # type: ignore[no-untyped-def]
    query_tasks,
    items,
    begin,
    end,
    approximate,
    errors,
    limits,
    allowed,
    tasks,
    first,
    slots,
    widths,
    count_diffs,
    columns,
    left,
):
    """Count what is nearer than positives in question; how many pairs are left."""
    filled = 0
    for pair in range(len(query_tasks)):
        query_task, distance = query_tasks[pair], approximate[pair]
        width = widths[query_task]
        slot = slots[query_task] + columns[tasks[query_task], items[pair]]
        for positive in range(begin[pair], end[pair]):
            error = errors[pair] + allowed[positive]
            if distance < limits[positive] - error:
                before = positive - first[query_task]
                count_diffs[slot + before * width] += 1
                if before > 0:  # the farther ones are decided one by one
                    count_diffs[slot + (before - 1) * width] -= 1
            elif not distance > limits[positive] + error:
                left[0, filled], left[1, filled] = pair, positive
                filled += 1
    return filled


@compiled("void(i8, i8, i8[::1], i8[::1], i8[::1], i4[::1])")
def add_up(start, stop, first, slots, widths, count_diffs):  # type: ignore[no-untyped-def]
    for query_task in range(start, stop):
        width = widths[query_task]
        nearest = slots[query_task] + (first[query_task + 1] - first[query_task] - 1) * width
        for place in range(nearest - 1, slots[query_task] - 1, -1):
            count_diffs[place] += count_diffs[place + width]
