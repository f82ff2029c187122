"""Fails when its aligner is built."""

import crbench


class Fragile:
    def __init__(self):
        raise RuntimeError("the constructor failed")

    def fit(self, train, *, run):
        return lambda feats: feats


@crbench.hookimpl
def crbench_aligners():
    return [crbench.Entry("fragile", Fragile)]
