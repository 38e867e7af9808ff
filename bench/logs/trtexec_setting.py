"""How a run of trtexec was set up, as its echo and its command tell; None for what neither tells.

Flags and defaults are those of NVIDIA's public sources of 7.2 to 11.1: 11.0 turned the defaults round.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.logs.statistics import Statistics

Version = tuple[int, ...]

TURNED = (11,)
"""From this version on copies are off, spin-wait and CUDA graph on, unless the command says otherwise."""
STRONG = "Strongly Typed"
"""Printed as the precision where the graph decides."""

_BATCH = re.compile(r"(?:^|\s)--batch=([0-9]{1,9})(?!\S)")
_PRECISION = re.compile(r"(?:^|\s)--(fp16|bf16|int8|fp8|int4|best)(?!\S)")
_BEST = frozenset({"FP16", "INT8"})


@dataclass(frozen=True)
class Switch:
    """What decides whether two figures are of the same kind."""

    echo: str
    on: str
    off: str
    before: bool
    """Its default before 11.0; the other one from there on."""

    def told(self, command: str | None, version: Version, echoed: Mapping[str, str]) -> bool | None:
        """Return what was on. A command without a version is one of 7.x, whose marker has none."""
        if self.echo in echoed:
            return echoed[self.echo] == "Enabled"
        if command is None:
            return None
        words = command.split()
        if self.on in words:
            return True
        return self.off not in words and (self.before if version < TURNED else not self.before)


SPIN_WAIT = Switch("Spin-wait", "--useSpinWait", "--noSpinWait", before=False)
CUDA_GRAPH = Switch("CUDA Graph", "--useCudaGraph", "--noCudaGraph", before=False)
TRANSFERS = Switch("Data transfers", "--includeDataTransfers", "--noDataTransfers", before=True)


def transfers(
    command: str | None, version: Version, echoed: Mapping[str, str], blocks: Mapping[str, Statistics]
) -> bool | None:
    """Tell whether inputs and outputs were copied: by the echo, by the times of the copies, by the command."""
    if TRANSFERS.echo not in echoed:
        told = [blocks[name] for name in ("h2d", "d2h") if name in blocks]
        longest = [block.mean if block.maximum is None else block.maximum for block in told]
        if known := [one for one in longest if one is not None]:
            return max(known) > 0
    return TRANSFERS.told(command, version, echoed)


def batch(command: str | None) -> int | None:
    """Return `--batch`: of an engine whose batch is implicit."""
    found = _BATCH.search(command or "")
    return int(found[1]) if found else None


def precisions(printed: str | None, loaded: bool | None, command: str | None, version: Version) -> frozenset[str]:
    """Return the precisions that the build was allowed, as {"FP32", "FP16"}; none where the log cannot tell.

    For an engine that was loaded trtexec prints the options of this command, whatever it was built with.
    """
    if loaded is not False or printed == STRONG:
        return frozenset()
    if printed is not None:
        return frozenset(printed.partition(" (")[0].split("+"))
    if command is None or version >= TURNED or "--stronglyTyped" in command.split():
        return frozenset()
    asked = {flag.upper() for flag in _PRECISION.findall(command)}
    return frozenset({"FP32"} | (asked - {"BEST"}) | (_BEST if "BEST" in asked else frozenset()))
