"""A plugin for pytest inside pytest (`-p tests.brief`): a quick look of two rounds, each as short as a round can be."""

from __future__ import annotations

from dataclasses import replace

from bench.effort import EFFORTS, QUICK

EFFORTS[QUICK.name] = replace(QUICK, rounds=2, serial_seconds=0.01, window_seconds=0.05, warmup_seconds=0.0)
