"""Intervals and what they decide: pure functions of numbers, which know nothing of cases or evidence."""
