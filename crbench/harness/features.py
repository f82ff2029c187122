"""Step 4, second half: the features of a ready backbone, from the cache or extracted."""

from __future__ import annotations

from crbench.api.interfaces import Backbone, Precomputed, Reader
from crbench.errors import ComparisonError
from crbench.harness.backbone import ReadyBackbone
from crbench.harness.extract.extractor import Extractor
from crbench.harness.extract.lookup import look_up
from crbench.harness.extract.pipeline import worker_count
from crbench.harness.facts import JobFacts
from crbench.harness.identity import feature_origin
from crbench.harness.rows import IdentifiedRows
from crbench.harness.timing import Clock
from crbench.results import Timing
from crbench.store.features import FeatureTable


def feature_table(facts: JobFacts, ready: ReadyBackbone, last: FeatureTable) -> FeatureTable:
    """The features of a backbone that are known.

    Args:
        last: the table of the backbone before, which is taken where both give the same features: a backbone without
            weights is made anew for each list of training rows.
    """
    origin = feature_origin(facts.job, ready.backbone, ready.facts, facts.extraction)
    if origin == last.origin:
        return last
    return FeatureTable.open(None if isinstance(ready.backbone, Precomputed) else facts.cache, origin)


def add_features(
    facts: JobFacts, backbone: Backbone | Precomputed, table: FeatureTable, rows: IdentifiedRows, read: Reader
) -> Timing:
    """Put the features of `rows` into `table`; tells how many it lacked, and how long they took.

    Raises:
        BatchTooLargeError: the batch size is too large for the device.
        ComparisonError: `table` lacks some, and the cache of the run is read only.
        CrbenchError: see `crbench.harness.extract.extractor.Extractor.fill` and `look_up`.
    """
    owner, cache = facts.job.backbone.registered.owner, facts.run_cache
    if cache is not None and cache.read_only and (lacking := len(table.missing(rows.ids))):
        raise ComparisonError(f"{cache.root} lacks features of {lacking} images; --rerun makes them anew")
    with Clock(facts.run.device) as clock:
        if isinstance(backbone, Precomputed):
            count = look_up(backbone, table, rows.rows, rows.ids, owner)
        else:
            flip, workers = facts.job.protocol.images.flip, worker_count(facts.spec.num_workers)
            extractor = Extractor(backbone, read, facts.extraction, flip, workers, owner)
            count = extractor.fill(table, rows.rows, rows.ids, facts.run)
    return Timing(seconds=clock.seconds, count=count, unit="images", cached=count == 0)
