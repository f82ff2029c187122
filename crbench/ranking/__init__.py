"""Exact ranks."""
