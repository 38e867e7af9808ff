"""An upper bound of the processor time that work in proportion to its input cannot reach, and quadratic work must."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def at_most(cpu_seconds: float) -> Iterator[None]:
    """Fail as soon as the body has used so much processor time, whatever else runs on this host."""

    def fail(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"expected an end within {cpu_seconds:g} s of processor time: is this quadratic?")

    before = signal.signal(signal.SIGVTALRM, fail)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
