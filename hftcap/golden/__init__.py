"""Golden files: what a replay made of a capture, message by message, kept to hold later replays against."""
