"""Counting latencies and saying what the counts can carry."""
