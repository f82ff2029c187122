"""Fails when its hook is called."""

import crbench


@crbench.hookimpl
def crbench_aligners():
    raise RuntimeError("the hook failed")
