"""Is there a resolution direction? VPFA's Tables 1, 2a, 2b and 7, each number beside what gives it meaning.

`directions` computes all of it from features of the same images in LR and HR; `crbench.analysis.report` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.analysis.centres import CentreDistances, centre_distances
from crbench.analysis.correlation import canonical_table, held_out_correlations
from crbench.analysis.explained import explained, explained_by_rank, explained_by_shift
from crbench.analysis.offsets import Estimate, Offsets, angle, estimate, identity_correlations
from crbench.analysis.people import Floats, checked
from crbench.api.context import Progress, no_progress
from crbench.data.draws import shuffled

THRESHOLD = 0.4
"""Correlation above which VPFA counts a person, in Table 2b."""

GROUP = 2
"""People of a group in the text of VPFA beside Table 2b."""

SHOWN = 5
"""People whose centre distances are shown one by one, as in VPFA's Table 7."""

COMPONENTS = 3
_OTHER_HALVES = 200
_SIGNS = 999
_BROKEN = 100


@attrs.frozen
class Cosine:
    """Table 1.

    Attributes:
        value: cosine between the mean offsets of two halves of the people.
        low, high: of 95 % of 200 other ways to draw the halves.
        chance: 95 % of such cosines are below it, for offsets like these without a common direction.
        p: how often chance gives at least `value`.
        consistency: mean cosine between the offsets of two different people.
        length: of the mean offset of all people like these.
    """

    value: float
    low: float
    high: float
    chance: float
    p: float
    consistency: Estimate
    length: Estimate


@attrs.frozen
class Canonical:
    """A row of Table 2a.

    Attributes:
        correlation: the canonical correlation of all images.
        largest: share of the LR variate's variance that a single image makes.
        script: what the public script prints in its place.
        broken, broken_script: means of both where each LR image has any HR image.
        held_out: correlation on one half of the people by maps that were fitted on the other half.
    """

    correlation: float
    largest: float
    script: float
    broken: float
    broken_script: float
    held_out: Estimate


@attrs.frozen
class Correlation:
    """Table 2b: Pearson's correlation of each person's offset with the mean of all.

    Attributes:
        mean, deviation, share: over people; share of them above `THRESHOLD`.
        mean_without, share_without: the same where the person is not in the mean.
        groups: number of groups of `GROUP` people; `mean_groups`, `share_groups`: over them.
        chance, chance_share: for offsets like these without a common direction.
        broken, broken_share: where each person's LR mean has the HR mean of another person.
    """

    mean: Estimate
    deviation: float
    share: Estimate
    mean_without: Estimate
    share_without: Estimate
    groups: int
    mean_groups: float
    share_groups: float
    chance: float
    chance_share: float
    broken: float
    broken_share: float


@attrs.frozen
class Centres:
    """Table 7 for one aligner.

    Attributes:
        before, after, reduction: means over people of the distance to the own HR centre, and of its reduction.
        nearest_before, nearest_after: of the distance to the nearest HR centre of another person.
        own_before, own_after: share of people whose own HR centre is the nearest.
        shown: some people, drawn by the seed: pid, distance before and after.
    """

    before: Estimate
    after: Estimate
    reduction: Estimate
    nearest_before: Estimate
    nearest_after: Estimate
    own_before: Estimate
    own_after: Estimate
    shown: tuple[tuple[int, float, float], ...]


@attrs.frozen
class RateDirections:
    """What features say at one rate.

    Attributes:
        images, people, columns: what the features are of, and their length.
        rank: principal components of the held-out maps of Table 2a.
        explained: share of the squared offsets by what explains it: ``shift``, ``rank K``, and aligners by name.
        beyond_shift: how much more than the shift the others explain, of the same people.
        centres: by aligner.
    """

    images: int
    people: int
    columns: int
    rank: int
    cosine: Cosine
    canonical: tuple[Canonical, ...]
    correlation: Correlation
    explained: Mapping[str, Estimate]
    beyond_shift: Mapping[str, Estimate]
    centres: Mapping[str, Centres]


@attrs.frozen
class Directions:
    """All rates, and the angles between them in degrees.

    Attributes:
        rates: by rate, lowest first.
        angles: by pairs of rates.
    """

    rates: Mapping[float, RateDirections]
    angles: Mapping[tuple[float, float], Estimate]


@attrs.frozen(eq=False)
class SameImages:
    """Features of the same images at one rate and in HR.

    Attributes:
        lr, hr: f[n, D].
        pids: i64[n].
        mapped: the LR features as aligners change them, by their names.
    """

    lr: Floats
    hr: Floats
    pids: NDArray[np.int64]
    mapped: Mapping[str, Floats] = attrs.field(factory=dict)


def directions(
    rates: Mapping[float, SameImages], *, seed: int = 0, permutations: int = 20, progress: Progress = no_progress
) -> Directions:
    """Tables 1, 2a, 2b and 7 for features of the same images at several rates.

    Args:
        seed: of halves, broken pairs and people who are shown one by one.
        permutations: of Table 2a, each as costly as the table itself.

    Raises:
        DataError: unequal shapes, values that are not finite, fewer than 4 people.
    """
    found = {}
    with progress(len(rates), "directions", "rate") as bar:
        for rate in sorted(rates):
            found[rate] = _of_rate(rates[rate], seed, permutations)
            bar.advance()
    offsets = {rate: Offsets.of(one.lr, one.hr, one.pids) for rate, one in rates.items()}
    pairs = combinations(sorted(offsets), 2)
    return Directions(found, {(one, other): angle(offsets[one], offsets[other]) for one, other in pairs})


def _of_rate(one: SameImages, seed: int, permutations: int) -> RateDirections:
    lr, hr = checked(one.lr, one.hr, one.pids)
    offsets = Offsets.of(lr, hr, one.pids)
    canonical, rank = _canonical(lr, hr, one.pids, seed, permutations)
    shares = {"shift": explained_by_shift(lr, hr, one.pids, seed=seed)}
    shares |= {f"rank {rank}": own for rank, own in explained_by_rank(lr, hr, one.pids, seed=seed).items()}
    shares |= {name: explained(lr, hr, mapped, one.pids) for name, mapped in one.mapped.items()}
    return RateDirections(
        images=len(lr),
        people=len(offsets.people),
        columns=lr.shape[1],
        rank=rank,
        cosine=_cosine(offsets, seed),
        canonical=canonical,
        correlation=_correlation(lr, hr, one.pids, offsets, seed),
        explained={name: own.share() for name, own in shares.items()},
        beyond_shift={name: own.minus(shares["shift"]) for name, own in shares.items() if name != "shift"},
        centres={name: _centres(centre_distances(lr, m, hr, one.pids), seed) for name, m in one.mapped.items()},
    )


def _cosine(offsets: Offsets, seed: int) -> Cosine:
    value = offsets.halves_cosine(seed)
    low, high = np.quantile([offsets.halves_cosine(seed + 1 + draw) for draw in range(_OTHER_HALVES)], [0.025, 0.975])
    chance = offsets.chance_cosines(seed, _SIGNS)
    return Cosine(
        value=value,
        low=float(low),
        high=float(high),
        chance=float(np.quantile(chance, 0.95)),
        p=float((1 + (chance >= value).sum()) / (1 + len(chance))),
        consistency=offsets.consistency(),
        length=offsets.length(),
    )


def _canonical(
    lr: NDArray[np.float64], hr: NDArray[np.float64], pids: NDArray[np.int64], seed: int, permutations: int
) -> tuple[tuple[Canonical, ...], int]:
    """The rows of Table 2a, and the principal components of the held-out ones."""
    table = canonical_table(lr, hr, COMPONENTS, permutations=permutations, seed=seed)
    held = held_out_correlations(lr, hr, pids, COMPONENTS, seed=seed)
    columns = (
        table.correlations,
        table.largest,
        table.ratios,
        table.broken_correlations.mean(axis=0),
        table.broken_ratios.mean(axis=0),
    )
    held_out = [Estimate(*map(float, row)) for row in zip(held.values, held.low, held.high, strict=True)]
    rows = zip(*(column.tolist() for column in columns), held_out, strict=True)
    return tuple(Canonical(*row) for row in rows), held.rank


def _correlation(
    lr: NDArray[np.float64], hr: NDArray[np.float64], pids: NDArray[np.int64], offsets: Offsets, seed: int
) -> Correlation:
    single = identity_correlations(lr, hr, pids)
    without = identity_correlations(lr, hr, pids, leave_one_out=True)
    groups = identity_correlations(lr, hr, pids, groups=GROUP)
    chance = offsets.chance_correlations(seed, _SIGNS)
    broken = offsets.broken_correlations(lr, pids, seed, _BROKEN)

    def mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> Estimate:
        return estimate(offsets.people, lambda weights: (weights @ values / weights.sum(axis=1))[:, None])

    return Correlation(
        mean=mean(single),
        deviation=float(single.std(ddof=1)),
        share=mean(single > THRESHOLD),
        mean_without=mean(without),
        share_without=mean(without > THRESHOLD),
        groups=len(groups),
        mean_groups=float(groups.mean()),
        share_groups=float((groups > THRESHOLD).mean()),
        chance=float(chance.mean()),
        chance_share=float((chance > THRESHOLD).mean()),
        broken=float(broken.mean()),
        broken_share=float((broken > THRESHOLD).mean()),
    )


def _centres(found: CentreDistances, seed: int) -> Centres:
    drawn = [int(str(pid)) for pid in shuffled(f"analysis|seed {seed}|shown", found.people.tolist())[:SHOWN]]
    places = np.searchsorted(found.people, sorted(drawn))
    rows = zip(found.people[places], found.before[places], found.after[places], strict=True)
    return Centres(
        before=found.mean(found.before),
        after=found.mean(found.after),
        reduction=found.mean(found.reductions),
        nearest_before=found.mean(found.nearest_before),
        nearest_after=found.mean(found.nearest_after),
        own_before=found.mean(found.nearer_before),
        own_after=found.mean(found.nearer_after),
        shown=tuple((int(pid), float(before), float(after)) for pid, before, after in rows),
    )
