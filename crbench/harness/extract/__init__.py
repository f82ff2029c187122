"""Step 4: rows to features."""
