"""What scores say beyond the people that they were measured on.

All begins with the queries of each trial that count and their scores (`TrialQueries`): `read_queries` gives them for a
result that was read from a file, from the outcomes beside it, and `read_joined` for several results of one method.

`intervals` gives the interval of every score; a run stores them in its result. `aligned` finds the queries that several
rows share, `averaged` those of one row that was trained several times, and `differences` compares rows on them:
intervals and p-values of all pairs, Holm's correction, the places that each row may have, and the difference that these
queries resolve. `gap_closed` gives the share of what shrinking costs that a row brings back.

`interval_over_people` is for numbers of other kinds than scores.

People are what is drawn, exchanged and counted, as queries of one person are alike. Draws go by the names of people, so
every machine has the same, and in whatever order rows and trials come.
"""

from __future__ import annotations

from crbench.statistics.bootstrap import check_intervals, intervals
from crbench.statistics.functions import interval_over_people
from crbench.statistics.gap import GapClosed, gap_closed
from crbench.statistics.matching import aligned, averaged
from crbench.statistics.paired import Differences, differences
from crbench.statistics.queries import TrialQueries, numbers_of, read_joined, read_queries, recomputable

__all__ = [
    "Differences",
    "GapClosed",
    "TrialQueries",
    "aligned",
    "averaged",
    "check_intervals",
    "differences",
    "gap_closed",
    "interval_over_people",
    "intervals",
    "numbers_of",
    "read_joined",
    "read_queries",
    "recomputable",
]
