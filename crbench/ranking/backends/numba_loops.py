"""The compiled loops of the CPU's counting backend, `crbench.ranking.backends.numba`."""

from __future__ import annotations

import numpy as np

from crbench.jit import compiled
from crbench.ranking.gemm import INT8_BASE

_CHUNK = 256
"""Items that are compared with one positive after another."""

_FEW = 48
"""Up to so many positives per query, comparing all items with one after another is faster than a search per item."""


@compiled("void(f4[::1], f4, f4[::1], f4[::1], f4[::1])")
def _scores(products, row, factors, terms, scores):  # type: ignore[no-untyped-def]
    """Scores of one query."""
    for item in range(len(scores)):
        scores[item] = products[item] * (row * factors[item]) + terms[item]


@compiled("void(i4[::1], i4[::1], i4[::1], f4, f4[::1], f4[::1], f4[::1])")
def _scores_of_int8(high, cross, other, row, factors, terms, scores):  # type: ignore[no-untyped-def]
    """Scores of one query from the three int32 sums of each product; see `crbench.ranking.gemm.products.floats`."""
    share = np.float32(1 / INT8_BASE)
    for item in range(len(scores)):
        low = np.float32(np.float32(np.int32(cross[item] + other[item])) * share)
        scores[item] = np.float32(np.float32(high[item]) + low) * (row * factors[item]) + terms[item]


@compiled("void(f4[::1], i8, i8[::1], i8[::1])")
def _hide(scores, label, labels, by_label):  # type: ignore[no-untyped-def]
    """Set the scores of items that have the query's label to NaN, which compares with nothing."""
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
def _search(score, lower, upper, first, last):  # type: ignore[no-untyped-def]
    """The ends of the positives from `first` on that a score is certainly, and possibly, ahead of; bounds rise."""
    certain, end = first, last
    while certain < end:
        middle = (certain + end) // 2
        if score > upper[middle]:
            certain = middle + 1
        else:
            end = middle
    possible, end = certain, last
    while possible < end:
        middle = (possible + end) // 2
        if score >= lower[middle]:
            possible = middle + 1
        else:
            end = middle
    return certain, possible


@compiled("UniTuple(i8, 2)(f4[::1], f4, f4)")
def _count_ahead(scores, lower, upper):  # type: ignore[no-untyped-def]
    """How many scores are certainly, and possibly, ahead of a positive; i32 and no branch, which vectorises best."""
    certain, possible = np.int32(0), np.int32(0)
    for item in range(len(scores)):
        certain = np.int32(certain + np.int32(scores[item] > upper))
        possible = np.int32(possible + np.int32(scores[item] >= lower))
    return certain, possible


@compiled("void(f4[::1], f4, f4, u1[::1])")
def _mark(scores, lower, upper, marks):  # type: ignore[no-untyped-def]
    """Mark scores that are within the bounds of a positive."""
    for item in range(len(scores)):
        marks[item] |= np.uint8(scores[item] >= lower) & np.uint8(scores[item] <= upper)


@compiled("i8(f4[::1], i8, i8, f4[::1], f4[::1], i4[::1], u1[::1], i8[:, ::1], i8, i8)")
def _count_few(scores, first, last, lower, upper, count_diffs, marks, uncertain, query_task, filled):  # type: ignore[no-untyped-def]
    """Count all items against one positive after another, the farthest first; how many uncertain pairs are listed."""
    for start in range(0, len(scores), _CHUNK):
        chunk = scores[start : start + _CHUNK]
        marked = False
        for positive in range(first, last):
            certain, possible = _count_ahead(chunk, lower[positive], upper[positive])
            if possible == 0:
                break
            if certain < possible:
                marked = True
                _mark(chunk, lower[positive], upper[positive], marks)
            count_diffs[positive - first] += certain
            if positive > first:
                count_diffs[positive - first - 1] -= certain
        if marked:
            for item in range(len(chunk)):
                if marks[item]:
                    marks[item] = 0
                    certain, possible = _search(chunk[item], lower, upper, first, last)
                    uncertain[0, filled], uncertain[1, filled] = query_task, start + item
                    uncertain[2, filled], uncertain[3, filled] = certain, possible
                    filled += 1
    return filled


@compiled("i8(f4[::1], i8, i8, f4[::1], f4[::1], i4[::1], i8[::1], i8, i8[:, ::1], i8, i8)")
def _count_many(scores, first, last, lower, upper, count_diffs, columns, width, uncertain, query_task, filled):  # type: ignore[no-untyped-def]
    """Count by a search for each item not certainly behind all positives; how many uncertain pairs are listed."""
    for item in range(len(scores)):
        if scores[item] >= lower[first]:
            certain, possible = _search(scores[item], lower, upper, first, last)
            if certain > first:
                count_diffs[(certain - 1 - first) * width + columns[item]] += 1
            if possible > certain:
                uncertain[0, filled], uncertain[1, filled] = query_task, item
                uncertain[2, filled], uncertain[3, filled] = certain, possible
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
    """Count the query-task pairs ``order[start:stop]`` until `uncertain` might not hold those of the next one.

    Returns the place in `order` that it came to, and how many uncertain pairs are listed. `products` are those of the
    rows from `offset` on; for int8, `sums` are given instead and `products` are empty.
    """
    scores = np.empty(len(factors), dtype=np.float32)
    marks = np.zeros(_CHUNK, dtype=np.uint8)
    for place in range(start, stop):
        if filled + len(scores) > uncertain.shape[1]:
            return place, filled
        query_task = order[place]
        task, row, farthest, last = tasks[query_task], rows[query_task], first[query_task], first[query_task + 1]
        width, counts = widths[query_task], count_diffs[slots[query_task] :]
        at, factor, term = row - offset, row_factors[row], terms[task]
        if len(products):
            _scores(products[at], factor, factors, term, scores)
        else:
            _scores_of_int8(sums[0, at], sums[1, at], sums[2, at], factor, factors, term, scores)
        _hide(scores, labels[query_task], item_labels, by_label)
        if width == 1 and last - farthest <= _FEW:
            filled = _count_few(scores, farthest, last, lower, upper, counts, marks, uncertain, query_task, filled)
        else:
            filled = _count_many(
                scores, farthest, last, lower, upper, counts, columns[task], width, uncertain, query_task, filled
            )
    return stop, filled


@compiled(
    [f"void(i8, i8, {kind}[:, ::1], {kind}[:, ::1], i8[::1], i8[::1], i8, f8[::1])" for kind in ("f4", "f8")],
    fastmath={"reassoc", "contract"},
)
def dots(start, stop, a, b, rows, items, prefix, found):  # type: ignore[no-untyped-def]
    """Inner products of pairs of rows, in float64."""
    for pair in range(start, stop):
        x, y = a[rows[pair]], b[items[pair]]
        total = 0.0
        for column in range(prefix):
            total += np.float64(x[column]) * np.float64(y[column])
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
    limit_errors,
    tasks,
    first,
    slots,
    widths,
    count_diffs,
    columns,
    left,
):
    """Count the items that are certainly nearer than positives in question; how many comparisons are left."""
    filled = 0
    for pair in range(len(query_tasks)):
        query_task, distance = query_tasks[pair], approximate[pair]
        width = widths[query_task]
        slot = slots[query_task] + columns[tasks[query_task], items[pair]]
        for positive in range(begin[pair], end[pair]):
            error = errors[pair] + limit_errors[positive]
            if distance < limits[positive] - error:
                before = positive - first[query_task]
                count_diffs[slot + before * width] += 1
                if before > 0:  # The farther positives are decided one by one.
                    count_diffs[slot + (before - 1) * width] -= 1
            elif not distance > limits[positive] + error:
                left[0, filled], left[1, filled] = pair, positive
                filled += 1
    return filled


@compiled("void(i8, i8, i8[::1], i8[::1], i8[::1], i4[::1])")
def add_up(start, stop, first, slots, widths, count_diffs):  # type: ignore[no-untyped-def]
    """Sum up difference arrays in place, each from the nearest positive to the farthest."""
    for query_task in range(start, stop):
        width = widths[query_task]
        nearest = slots[query_task] + (first[query_task + 1] - first[query_task] - 1) * width
        for place in range(nearest - 1, slots[query_task] - 1, -1):
            count_diffs[place] += count_diffs[place + width]
