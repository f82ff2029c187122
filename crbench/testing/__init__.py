"""For plugin authors: each rule of each contract as a named check, and ready-made fakes to test with.

In a plugin's own tests, one test for each rule; a rule that a method breaks on purpose is waived with the reason:

.. code-block:: python

    import pytest
    from crbench.testing import checks_for

    CHECKS = checks_for("aligner", waive={"companions": "normalises by the statistics of the batch"})

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def test_contract(check):
        check(MyAligner)

``check_aligner(MyAligner)`` and its siblings run all checks of a kind and stop at the first that fails. A failed check
is an `AssertionError` that names the rule.

Example:
    >>> from crbench_baselines.mean_shift import MeanShift
    >>> check_aligner(MeanShift)
    >>> [check.name for check in checks_for("distance")][:3]
    ['interface', 'shape', 'dtype']
"""

from crbench.testing.checks import (
    Check,
    check_aligner,
    check_backbone,
    check_dataset,
    check_distance,
    check_metric,
    checks_for,
)
from crbench.testing.fakes import RandomBackbone, TinyDataset, random_features, tiny_dataset, train_features

__all__ = [
    "Check",
    "RandomBackbone",
    "TinyDataset",
    "check_aligner",
    "check_backbone",
    "check_dataset",
    "check_distance",
    "check_metric",
    "checks_for",
    "random_features",
    "tiny_dataset",
    "train_features",
]
