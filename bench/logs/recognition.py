"""Tells which tool wrote a text, by what only that tool prints."""

from __future__ import annotations

import re

from bench.logs.reading import LogError

SIGNS = {
    "trtexec": re.compile(
        r"TensorRT\.trtexec|=== Performance summary ===|GPU Compute|Host Latency|Average over \d+ runs"
    ),
    "ais_bench": re.compile(r"NPU_compute_time"),
    "benchmark": re.compile(r"ave_tho?r?o?ughputRate|Interface throughputRate|\[e2e\] throughputRate"),
}


def tool(text: str) -> str:
    """Return trtexec, ais_bench or benchmark; raise LogError where none of them wrote it, or several did."""
    found = [name for name, sign in SIGNS.items() if sign.search(text)]
    if len(found) == 1:
        return found[0]
    said = f"signs of {' and of '.join(found)}" if found else "nothing that any of them prints beside its figures"
    raise LogError(
        f"expected what one of {', '.join(SIGNS)} prints; found {said}; "
        "give its whole output, or say who wrote it with --tool"
    )
