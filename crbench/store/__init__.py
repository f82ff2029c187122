"""The rooms that write: feature cache, fitted transforms, trained weights, results."""
