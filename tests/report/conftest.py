"""The results of the golden tables and hostile ones, as pages."""

from __future__ import annotations

from leaderboard.conftest import HOSTILE, Make, board_results, hostile, make, scored

__all__ = ["HOSTILE", "Make", "board_results", "hostile", "make", "scored"]
