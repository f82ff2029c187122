"""What features say beyond scores: directions from LR to HR, thresholds, and figures.

`canonical_correlations`, `identity_correlations`, `direction_cosine` and `centre_distances` are the formulas of VPFA's
Tables 2a, 2b, 1 and 7, for features of the same images in LR and HR. `directions` computes all of them for several
rates, each beside what gives it meaning (broken pairs, chance, held-out people, intervals over people), and
`directions_of` does so for a run. `thresholds_of` says which distance of a run means
"the same person", and `plots_of` draws figures of a run. `sweep` runs every query at every rate,
and `mixed_of` says what the rate of the match does in a gallery of several rates.
"""

from crbench.analysis.centres import CentreDistances, centre_distances
from crbench.analysis.correlation import (
    canonical_correlations,
    canonical_table,
    held_out_correlations,
    script_ratios,
)
from crbench.analysis.directions import Directions, SameImages, directions
from crbench.analysis.explained import explained, explained_by_rank, explained_by_shift
from crbench.analysis.mixed import MixedReport, mixed_of
from crbench.analysis.of_run import directions_of
from crbench.analysis.offsets import Estimate, direction_cosine, identity_correlations
from crbench.analysis.plots import FIGURES, PlotOptions, plots_of
from crbench.analysis.report import DirectionsReport
from crbench.analysis.sweep import Sweep, sweep
from crbench.analysis.thresholds import ThresholdsReport, thresholds_of

__all__ = [
    "FIGURES",
    "CentreDistances",
    "Directions",
    "DirectionsReport",
    "Estimate",
    "MixedReport",
    "PlotOptions",
    "SameImages",
    "Sweep",
    "ThresholdsReport",
    "canonical_correlations",
    "canonical_table",
    "centre_distances",
    "direction_cosine",
    "directions",
    "directions_of",
    "explained",
    "explained_by_rank",
    "explained_by_shift",
    "held_out_correlations",
    "mixed_of",
    "identity_correlations",
    "plots_of",
    "script_ratios",
    "sweep",
    "thresholds_of",
]
