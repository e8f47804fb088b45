"""What is in a capture, and how good it is: counts, rates, continuity, latencies."""

from hftcap.stats.collect import Stats, collect
from hftcap.stats.summary import to_json

__all__ = ["Stats", "collect", "to_json"]
