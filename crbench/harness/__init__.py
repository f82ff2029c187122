"""The harness: from a `RunSpec` to results, in ten steps (see `crbench.harness.run`)."""
