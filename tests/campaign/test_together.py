"""Runs at once on one empty store, with cleaners beside: each gives what it gives alone, and nothing is damaged."""

from __future__ import annotations

from collections import defaultdict

import pytest
from campaign.form import WHOLE
from campaign.jobs import JOBS, LEARN, RUN, content, stable

pytestmark = pytest.mark.campaign
OTHER = ("run", "--dataset", "mlr-synthetic", "--aligner", "mean-shift", "--trial", "1", *LEARN)
SEEDED = (*RUN, "--seed", "1")
TOGETHER = [*[RUN] * 6, *[OTHER] * 4, *[SEEDED] * 3, *[JOBS["train"].arguments] * 3] if WHOLE else [RUN, OTHER] * 2
"""16 processes, or 4."""
BESIDE = [("cache", *rest) for rest in (("prune", "--all"), ("verify",), ("prune", "--stale", "--bad"), ("ls",))]


def kept(folder):
    """What a folder keeps of runs beside its cache, in which cleaners were: name without times, path and content."""
    files = [path for place in ("results", "weights") for path in sorted((folder / place).rglob("*"))]
    return [(stable(path.relative_to(folder)), path, content(path)) for path in files if path.is_file()]


@pytest.mark.parametrize("_", range(5 if WHOLE else 1))
def test_runs_at_once_give_what_each_gives_alone(zygote, tmp_path, _):
    alone = defaultdict(list)
    for number, command in enumerate(dict.fromkeys(TOGETHER)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert zygote.call(folder, *command).code == 0
        for name, _, found in kept(folder):
            alone[name].append(found)  # weights of equal trainings have the card of who was first
    shared = tmp_path / "shared"
    shared.mkdir()
    runs, cleaners = zygote.together(shared, TOGETHER, BESIDE)
    print(f"{len(runs)} processes at once, {len(cleaners)} beside")  # noqa: T201 - shown by pytest -rA
    signs = ("Traceback", " is damaged (")
    wrong = [ended.err for ended in runs + cleaners if ended.code or any(sign in ended.err for sign in signs)]
    assert not wrong, "\n---\n".join(wrong)
    found = kept(shared)
    assert {name for name, _, _ in found} == alone.keys()
    assert [str(path) for name, path, has in found if has not in alone[name]] == []
    assert list(shared.rglob("*.part")) == []
    last = zygote.call(shared, "cache", "verify")
    assert (last.code, last.out) == (0, ""), last.out
