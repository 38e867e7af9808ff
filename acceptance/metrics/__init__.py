"""Figures of merit, one file each defining `METRIC`: a class whose instances are the mergeable state."""
