"""RIGHT? Metrics and accuracy gates. Knows how to judge outputs; knows nothing of speed."""
