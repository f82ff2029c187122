"""From ranks to numbers: pure functions over NumPy arrays that know no features, protocol, camera or plugin.

What a metric gets. The ranking counts, for each query, what is ahead of its positives (valid gallery images of the
same person). A metric that ``needs="ranks"`` is called once with the ranks of all queries::

    metric(ranks i64[P], starts i64[q + 1], candidates i64[q]) -> f64[q]

    query                 0           1      2 (no match)
    ranks         1   3   7   |   2   5  |
    starts        0               3          5          5
    candidates        90             88          91

``ranks[starts[i]:starts[i + 1]]`` are the ranks of query i's positives, ascending. A rank is a place from 1: the i-th
nearest positive is in place i plus the number of negatives ahead of it. ``candidates[i]`` is the number of valid
gallery images of query i, positives included. The arrays are read-only. A metric gives one value for each query, and
NaN where it has no positive. The score is the mean over the queries.

A single-shot gallery shows one image of each person, drawn at random, so a query has one positive whose rank is a
random number. A metric that ``needs="cmc"`` is called with the curves, of any gallery::

    metric(cmc f64[q, 50]) -> f64[q]

``cmc[i, k - 1]`` is the probability that query i has a match among its k nearest images (0 or 1 where nothing is
drawn), NaN in the row of a query without a match. AP and INP of a single-shot gallery are undefined: with one positive
both would be the reciprocal rank by another name.

==================  ==================================================================================================
`registry`          our metrics, one line each; those of plugins come from the same hook, ``crbench_metrics``
`choice`            which metrics an evaluation gives, and the call that checks what a metric gives back
`cmc`               CMC curves, the one score that is a curve and always there
`ap` `inp` `ndcg`   average precision by two rules, inverse negative penalty, normalised discounted cumulative gain
`single_shot`       curves of galleries that are drawn
`queries`           what these share: sizes, places within a query, sums that are rounded once
==================  ==================================================================================================
"""
