"""Matrix products in several precisions."""
