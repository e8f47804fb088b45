"""The capture format: segments of blocks of records. Knows bytes and times, never Binance."""
