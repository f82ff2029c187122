"""Step 4, second half: the features of a ready backbone, from the cache or extracted."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from crbench.api.interfaces import Backbone, Precomputed, Reader
from crbench.config.paths import data_root
from crbench.errors import ComparisonError, ConfigError
from crbench.harness.backbone import ReadyBackbone
from crbench.harness.extract.extractor import Extractor, Filled, extraction_order
from crbench.harness.extract.lookup import look_up
from crbench.harness.extract.pipeline import worker_count
from crbench.harness.facts import JobFacts
from crbench.harness.identity import feature_origin
from crbench.harness.paces import decoding, looking_up, network
from crbench.harness.rows import IdentifiedRows, TrialRows
from crbench.harness.timing import Clock
from crbench.harness.trial import make_reader
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


@attrs.frozen(eq=False)
class Readers:
    """What gives the images of a job: of its own rows, and of those that aligners are fitted on."""

    own: Reader
    fitting: Reader

    @classmethod
    def of(cls, facts: JobFacts) -> Readers:
        """The readers of a job, which share what they have decoded where both are one."""
        root, first = data_root(facts.spec.data_root), facts.trials[0]
        own = make_reader(facts.job, first.digest_of, root)
        if facts.job.partner is None:
            return cls(own, own)
        return cls(own, make_reader(facts.job.partner, first.fitting.digest_of, root))


@attrs.frozen(eq=False)
class Encoded:
    """The features that the trials of a backbone need, as far as no transform asks for more.

    Attributes:
        table: of the test rows, and of the training rows unless these are of another data set.
        fitting: of the training rows that aligners are fitted on.
        read: gives the image of a test row.
        timing: what had to be extracted.
    """

    table: FeatureTable
    fitting: FeatureTable
    read: Reader
    timing: Timing

    def again(self) -> Encoded:
        """The same for a further use, for which nothing had to be extracted."""
        return attrs.evolve(self, timing=Timing(seconds=0.0, count=0, unit="images", cached=True))


def encode(
    facts: JobFacts,
    ready: ReadyBackbone,
    trials: Sequence[TrialRows],
    readers: Readers,
    last: FeatureTable,
    *,
    learning: bool = True,
) -> Encoded:
    """The features of all rows of some trials.

    Args:
        last: see `feature_table`.
        learning: of the training rows too; else nobody learns from them.

    Raises:
        ConfigError: the features are given, which those of another data set are not.
        CrbenchError: see `add_features`.
    """
    if facts.job.partner is not None and isinstance(ready.backbone, Precomputed):
        raise ConfigError(f"--fit-on: {facts.job.backbone.name} gives features of one data set; use another backbone")
    table, (own, *others) = feature_table(facts, ready, last), asked_rows(facts, trials, readers, learning=learning)
    timing, fitting = add_features(facts, ready.backbone, table, own.rows, own.read), table
    for other in others:
        fitting = other.table(ready)
        timing = timing.plus(add_features(other.facts, ready.backbone, fitting, other.rows, other.read))
    return Encoded(table, fitting, own.read, timing)


@attrs.frozen(eq=False)
class AskedRows:
    """Rows whose features are needed, of one data set.

    Attributes:
        facts: of the job that shows them: its own, or that of the data set on which aligners are fitted.
        read: gives their images.
    """

    facts: JobFacts
    rows: IdentifiedRows
    read: Reader

    def table(self, ready: ReadyBackbone) -> FeatureTable:
        """A new table of their features, from the cache."""
        cache = None if isinstance(ready.backbone, Precomputed) else self.facts.cache
        return FeatureTable.open(
            cache, feature_origin(self.facts.job, ready.backbone, ready.facts, self.facts.extraction)
        )

    def ordered(self) -> IdentifiedRows:
        """Each once, in the order in which they are extracted."""
        _, first = np.unique(self.rows.ids, return_index=True)
        some = self.rows.take(np.sort(first))
        return some.take(extraction_order(some.rows))


def asked_rows(
    facts: JobFacts, trials: Sequence[TrialRows], readers: Readers, *, learning: bool
) -> tuple[AskedRows, ...]:
    """The rows of some trials: those of the job's data set, then those of another one on which aligners are fitted.

    Args:
        learning: training rows too; else nobody learns from them.
    """
    test, train = [trial.test for trial in trials], [trial.train for trial in trials]
    if not learning:
        return (AskedRows(facts, IdentifiedRows.concat(test), readers.own),)
    if facts.job.partner is None:
        both = [rows for pair in zip(train, test, strict=True) for rows in pair]
        return (AskedRows(facts, IdentifiedRows.concat(both), readers.own),)
    return (
        AskedRows(facts, IdentifiedRows.concat(test), readers.own),
        AskedRows(facts.fitting, IdentifiedRows.concat(train), readers.fitting),
    )


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
            filled = Filled(rows=look_up(backbone, table, rows.rows, rows.ids, owner))
        else:
            flip, workers = facts.job.protocol.images.flip, worker_count(facts.spec.num_workers)
            extractor = Extractor(backbone, read, facts.extraction, flip, workers, owner)
            filled = extractor.fill(table, rows.rows, rows.ids, facts.run)
    if filled.rows:
        _note(facts, filled, clock.seconds)
    return Timing(seconds=clock.seconds, count=filled.rows, unit="images", cached=filled.rows == 0)


def _note(facts: JobFacts, filled: Filled, seconds: float) -> None:
    """Note the pace of reading and of the network, which share the time as they shared the processors."""
    if not filled.images:
        facts.paces.add("look up", looking_up(facts.job), filled.rows, seconds)
        return
    again = facts.paces.read_before(facts.job, filled.images)
    decode_s = seconds * filled.decoding
    facts.paces.add("decode", decoding(facts.job, again=again), len(filled.images), decode_s)
    of = network(facts.job.backbone, facts.extraction, flip=facts.job.protocol.images.flip)
    facts.paces.add("network", of, filled.rows, seconds - decode_s)
