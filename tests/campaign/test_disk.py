"""Every operation on files of every command fails in turn; the command is then given again, and nothing is lost."""

from __future__ import annotations

import pytest
from campaign.disk import FAULTS
from campaign.form import WHOLE, sampled
from campaign.jobs import JOBS, copied, features, outcome

pytestmark = pytest.mark.campaign
SAMPLE = {"run": 2, "train": 1}
"""Operations and faults of each command in the short form; of those not named here 4."""


def struck(zygote, folder, template, job, expected, at, fault):
    """What is wrong where one operation fails and the command is given again; nothing: an empty string."""
    copied(template, folder)
    ended = zygote.call(folder, *job.arguments, at=at, fault=fault)
    allowed = (-9,) if fault == "SIGKILL" else job.codes
    if ended.code not in allowed or "Traceback" in ended.err or len(ended.errors) != (ended.code > 0):
        return f"exit code {ended.code}\n{ended.err}"
    if ended.code == 0 and (missing := different(expected, outcome(folder), kept="cache/")):
        return f"done, but other content of {missing}"
    again = zygote.call(folder, *job.arguments)
    if again.code != 0 or again.errors or "Traceback" in again.err:
        return f"given again: exit code {again.code}\n{again.err}"
    # a run that was done without its cache is found done, and has no use for it any more
    unequal = different(expected, outcome(folder), kept="cache/" if ended.code == 0 else None)
    return f"given again: other content of {unequal}" if unequal else ""


def different(expected, found, kept=None):
    """Names of files that are not as expected; those in the folder `kept` may be missing."""
    names = sorted(expected.keys() | found.keys())
    wrong = [name for name in names if found.get(name) != expected.get(name)]
    return [name for name in wrong if kept is None or not name.startswith(kept) or name in found]


@pytest.mark.parametrize("faults", [[fault] for fault in FAULTS] if WHOLE else [FAULTS], ids="-".join)
@pytest.mark.parametrize("name", JOBS)
def test_nothing_is_lost_or_changed_by_a_fault_of_the_disk(zygote, tmp_path, name, faults):
    job = JOBS[name]
    template, folder = tmp_path / "template", tmp_path / "work"
    folder.mkdir()
    features(folder)
    for before in job.first:
        assert zygote.call(folder, *before).code == 0
    folder.rename(template)
    undisturbed = zygote.call(copied(template, folder), *job.arguments)
    assert (undisturbed.code, undisturbed.errors) == (0, [])
    expected, count = outcome(folder), len(undisturbed.operations)
    assert count >= 4, "the disk sees what the command does"

    cases = [(at, fault) for at in range(count) for fault in faults]
    problems = {}
    chosen = sampled(cases, SAMPLE.get(name, 4), seed=len(name))
    for at, fault in chosen:
        if problem := struck(zygote, folder, template, job, expected, at, fault):
            problems[f"{fault} at {at}: {undisturbed.operations[at]}"] = problem
    print(f"{count} operations, {len(chosen)} cases, {len(problems)} wrong")  # noqa: T201 - shown by pytest -rA
    assert not problems, "\n".join(f"--- {case}\n{problem}" for case, problem in problems.items())
