"""FAST? Rounds in fresh processes, and what their times say. Knows nothing of metrics."""
