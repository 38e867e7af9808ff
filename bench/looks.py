"""Whether nobody else uses the devices of a round: looked at twice before it, and again after it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.children import RoundError
from fixtures.backend import Backend
from fixtures.device import CPU, Device
from fixtures.runtime import Runtime

LOOK_SECONDS = 1.2
"""Before each look: drivers report use as an average over up to a second, ours among it."""


@dataclass
class Looks:
    """The devices of a round, and their siblings on the same card, a moment after something of ours ended."""

    runtime: Runtime
    backend: Backend
    used: Sequence[Device]
    found: list[Device] = field(init=False)
    siblings: list[Device] = field(init=False)

    def __post_init__(self) -> None:
        self._look()

    def _look(self) -> None:
        if CPU in self.used:
            self.found, self.siblings = list(self.used), []
            return
        time.sleep(LOOK_SECONDS)
        now = {device.id: device for device in self.runtime.devices(self.backend)}
        self.found = [now.get(device.id) or _lost(device) for device in self.used]
        cards, own = {device.card for device in self.used} - {""}, {device.id for device in self.used}
        self.siblings = [device for device in now.values() if device.card in cards and device.id not in own]

    def refuse(self) -> None:
        """Refuse a device that is not healthy and ours alone in two looks: its figure would be somebody else's too.

        Raises RoundError that names who uses it.
        """
        first = self.found
        if CPU not in self.used:
            self._look()
        for device in (*first, *self.found):
            told = f"{self.backend.name}: expected device {device.index} ({device.id}) healthy and idle; found "
            if device.unhealthy:
                raise RoundError(
                    f"{told}{device.unhealthy}; see its tool for the cause, or choose another with --device"
                )
            if device.busy:
                raise RoundError(f"{told}{device.busy}; wait until it is free, or choose another with --device")

    def beside(self, before: Looks) -> dict[str, Any]:
        """Return who used the other devices of the card: what one reaches is then not a card's share."""
        trouble = {
            f"device {device.index}": device.busy or f"unknown: {device.unknown}"
            for device in (*before.siblings, *self.siblings)
            if device.busy or device.unknown
        }
        return {"siblings": trouble} if trouble else {}


def _lost(device: Device) -> Device:
    """Return what is known of a device that its driver does not show any more."""
    told = replace(device, health=None, utilisation=None, memory_used_mb=None, processes=None, facts={})
    return replace(told, busy="", unhealthy="", unknown="its driver did not show it any more")
