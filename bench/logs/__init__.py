"""Reads what vendors' tools print: one file per tool, each with `parse(text)`. Knows nothing of cases and evidence."""
