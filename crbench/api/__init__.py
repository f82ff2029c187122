"""The face for plugins."""
