"""The rows of a trial, and what is computed of them once."""

from __future__ import annotations

from crbench.harness import rows
from crbench.harness.run import run


def test_ids_are_computed_once_for_all_aligners(spec, monkeypatch):
    counts = []
    row_ids = rows.row_ids

    def counted(samples, digests):
        counts.append(len(samples))
        return row_ids(samples, digests)

    monkeypatch.setattr(rows, "row_ids", counted)
    run(spec(aligner=["mean-shift", "ridge", "coral"]))
    assert len(counts) == 2 * 3, "training, query and gallery rows of two trials"
