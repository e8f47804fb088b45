"""The venue: its endpoints, stream names, messages and order book rules. No sockets, no files."""
