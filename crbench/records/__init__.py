"""The records that travel through a run: plain, frozen, checked once at construction.

The records themselves know no array library: a feature array is any two-dimensional float32 array with ``shape`` and
``dtype``. `features_from_arrays` makes torch tensors of what a user has, and imports torch only then.
"""

from crbench.records.blind import NEEDS, TestFeatures, TestRows, blind_order
from crbench.records.features import Batch, Encoded, Features, features_from_arrays
from crbench.records.rows import RGB, Domain, Row, Samples, row_numbers
from crbench.records.split import Split

__all__ = [
    "NEEDS",
    "RGB",
    "Batch",
    "Domain",
    "Encoded",
    "Features",
    "Row",
    "Samples",
    "Split",
    "TestFeatures",
    "TestRows",
    "blind_order",
    "features_from_arrays",
    "row_numbers",
]
