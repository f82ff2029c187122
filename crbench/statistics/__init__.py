"""What scores say beyond the people that they were measured on.

`intervals` gives the interval of every score, from the queries of each trial (`TrialQueries`); `read_queries` gives
these for a result that was read from a file, from the outcomes beside it. A run stores intervals in its result.
"""

from __future__ import annotations

from crbench.statistics.bootstrap import intervals
from crbench.statistics.queries import TrialQueries, numbers_of, read_queries

__all__ = ["TrialQueries", "intervals", "numbers_of", "read_queries"]
