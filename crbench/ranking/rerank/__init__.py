"""Re-ranking by k-reciprocal encoding."""
