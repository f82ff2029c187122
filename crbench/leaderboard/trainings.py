"""One row from several trainings: the same method, trained or fitted with other seeds.

A training is a sample as well as a person is: the same recipe with another seed gives another number. So results that
are equal in all but their seed, and in the weights that were learned with it, are one row, whose score is the mean over
trainings. Weights that were given as files must be the same, as nothing tells by which recipe they were made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from crbench.leaderboard.joined import Joined, recipe


def by_recipe(joined: Sequence[Joined]) -> list[tuple[Joined, ...]]:
    """Rows of one block, those of one recipe together; disputed ones, and those of unknown code, each for itself.

    Args:
        joined: all have the same trials.
    """
    groups: dict[Hashable, list[Joined]] = defaultdict(list)
    for place, one in enumerate(joined):
        groups[_recipe(one) or place].append(one)
    return [tuple(sorted(group, key=_order)) for group in groups.values()]


def _recipe(one: Joined) -> Hashable:
    """What trainings of one row share; None = it is not known."""
    method = one.result.method
    if one.disputed or None in (method.backbone.code_sha256, method.aligner.code_sha256, *one.result.code.values()):
        return None
    trained = all(result.method.backbone.trained for result in one.results)
    return recipe(one.result), "trained" if trained else tuple(trial.weights_sha256 for trial in one.trials)


def _order(one: Joined) -> tuple[int, list[str], str]:
    return one.result.seed, [trial.weights_sha256 or "" for trial in one.trials], one.result.created
