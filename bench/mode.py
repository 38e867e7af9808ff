"""The two ways in which an engine is timed; every figure names its own."""

PURE = "pure inference"
"""A few inputs again and again: serial calls, then an offline window."""
WHOLE = "whole data set"
"""Every image once, in the order of the data set: the guides' official figure."""
