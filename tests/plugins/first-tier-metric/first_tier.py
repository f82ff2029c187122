import numpy as np

import crbench


def first_tier(ranks, starts, candidates):
    """Share of a query's P matches that are among its P nearest images."""
    sizes = np.diff(starts)
    owners = np.repeat(np.arange(len(sizes)), sizes)
    found = np.bincount(owners, weights=ranks <= sizes[owners], minlength=len(sizes))
    return found / np.where(sizes, sizes, np.nan)


@crbench.hookimpl
def crbench_metrics():
    return [crbench.Metric("first-tier", first_tier, "share of the P matches among the P nearest")]
