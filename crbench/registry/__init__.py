"""Plugins: found, looked up by name, and built."""
