"""Measurements of the project: quality, latency."""
