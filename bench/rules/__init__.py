"""What a candidate must show against a baseline, one file per rule; its name is that of the test."""
