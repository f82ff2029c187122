"""The images of a split outside of a run."""
