"""A copy of a data set whose counts are not the published ones."""

from __future__ import annotations

import logging

import attrs
import pytest
from fakes import Hard

from crbench.api.context import RunContext
from crbench.api.entry import Entry
from crbench.data.info import DatasetInfo, Verification
from crbench.harness.run import run
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner

PUBLISHED = {"images": 32, "test identities": 750, "cameras": 2}


@attrs.frozen
class Copy(Hard):
    """`Hard`, of which 750 test persons were published."""

    found = {"images": 32, "test identities": 94, "cameras": 2}  # noqa: RUF012

    def counts(self, *, root):
        return self.found


class Whole(Copy):
    found = PUBLISHED


class Uncounted(Hard):
    """Says what was published, and not what is there."""


@pytest.mark.parametrize(
    ("dataset", "limit", "expected"),
    [
        (Copy, None, ("94 of 750 test identities",)),
        (Whole, None, ()),
        (Whole, 3, ()),
        (Copy, 3, ("94 of 750 test identities",)),
        (Uncounted, None, ()),
    ],
)
def test_results_and_the_run_say_what_differs_from_the_published_set(spec, offer, caplog, dataset, limit, expected):
    info = DatasetInfo(name="copy", title="eight of many", counts=PUBLISHED)
    entry = Entry("copy", lambda: dataset(info=info), defaults={"backbone": "random"})
    offer(Registered("dataset", entry, Owner(plugin="copy", distribution="copy", version="1")))
    with caplog.at_level(logging.WARNING, "crbench"):
        results = run(spec(dataset="copy", aligner="shift", limit=limit), context=_context())
    assert [result.data.deviations for result in results] == [expected] * 2
    said = [line for line in caplog.messages if "not the published data set" in line]
    assert len(said) == bool(expected)
    assert all("copy: this copy is not the published data set, it has 94 of 750 test identities" in one for one in said)


def test_so_do_those_that_are_fitted_on_such_a_copy(spec, offer, caplog):
    info = DatasetInfo(name="copy", title="eight of many", counts=PUBLISHED)
    owner = Owner(plugin="copy", distribution="copy", version="1")
    offer(Registered("dataset", Entry("copy", lambda: Copy(info=info)), owner))
    with caplog.at_level(logging.WARNING, "crbench"):
        none, fitted = run(spec(aligner="shift", fit_on="copy"), context=_context())
    assert "copy: this copy is not the published data set, it has 94 of 750 test identities" in caplog.text
    assert fitted.warnings == ("fitted on a copy of copy that has 94 of 750 test identities",)
    assert none.warnings == ()
    assert fitted.data.deviations == ()


def _context():
    return RunContext(logger=logging.getLogger("crbench"))


def test_verification_and_results_agree_on_what_differs():
    assert not Verification(root="", found=Copy.found, expected=PUBLISHED).ok
    assert Verification(root="", found={**PUBLISHED, "junk images": 3}, expected=PUBLISHED).ok
