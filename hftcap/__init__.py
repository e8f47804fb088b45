"""Record, replay and measure the raw Binance market data feed."""

__version__ = "0.1.0"
