"""Fails when it is imported."""

raise ImportError("no module named 'a_library_that_moved'")
