"""The order book of one symbol, and its check against the bookTicker."""
