"""`python -m reports accept`: campaigns become the baseline of later nights, each a file of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fixtures import digest
from fixtures.engines import Store
from fixtures.errors import SetupError
from fixtures.store import pins
from fixtures.store.sidecar import printable
from reports import merge
from reports.acceptable import Campaign, RefusedError, judge
from reports.acceptance import Acceptance
from reports.evidence import Evidence
from reports.figure import figure
from reports.history import Accepted, load
from reports.measurement import Measurement
from reports.run import Run
from reports.schema import EvidenceError, UnwritableError

LONGEST = 80


@dataclass(frozen=True)
class Acceptor:
    """Who accepts, why, for which release, into which folder, and the store whose engines are pinned."""

    by: str
    why: str
    release: str
    folder: Path
    engines: Path

    def accept(self, evidence: Iterable[Evidence], tell: Callable[[str], None]) -> int:
        """Publish and pin every campaign that can be accepted; tell a line of each, of the others why not.

        Return how many are accepted now, those of earlier included. Raises EvidenceError where the evidence contradicts
        itself, UnwritableError where it cannot be published.
        """
        count = 0
        for run, case, found in judge(merge.union(evidence)):
            name = f"{case.id} ({case.profile}) of run {run[:8]}"
            if isinstance(found, RefusedError):
                tell(printable(f"left out  {name}: {found}"))
                continue
            earlier, path = self._publish(found)
            pinned = self._pin(found)
            figures = ", ".join(_told(each) for each in found.figures)
            sha256 = found.figures[0].engine["sha256"][:8]
            line = f"{name}: {figures}; engine {sha256} {pinned}; {path}"
            if earlier:
                of = f" for release {earlier.release}" if earlier.release else ""
                line = (
                    f"{name}: already, by {earlier.by} on {earlier.accepted[:10]}{of}; engine {sha256} {pinned}; {path}"
                )
            tell(printable(f"accepted  {line}"))
            count += 1
        return count

    def _publish(self, campaign: Campaign) -> tuple[Acceptance | None, Path]:
        """Publish a campaign; return its acceptance where it was accepted before, and where it lies."""
        folder = self.folder / _safe(f"{campaign.case.id}-{campaign.case.profile}")
        # The same campaign has the same end of its name, whoever accepts it: two at once leave one file.
        mark = digest.of_value([campaign.run, campaign.case.key])[:16]
        for path in sorted(folder.glob(f"*-{mark}.jsonl")):
            if earlier := _sound(path):
                return earlier.acceptance, path
        path = folder / f"{_date(campaign)}-{mark}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnwritableError(
                f"{folder}: expected a folder for accepted evidence; found: {error.strerror}; name another with --into"
            ) from error
        merge.write(campaign.accepted(Acceptance(campaign.case, self.by, self.why, self.release)), path)
        return None, path

    def _pin(self, campaign: Campaign) -> str:
        """Pin the engine of a campaign in the store; return what became of it, in words."""
        engine: Mapping[str, Any] = campaign.figures[0].engine
        store = Store(self.engines)
        known = {each.key: each for each in store.entries() if each.sha256 == engine["sha256"]}
        stored = known.get(str(engine.get("key")))
        if stored is None:
            return f"not pinned, it is not in {self.engines}"
        try:
            if store.find(stored.recipe, stored.path.name) is None:  # it is in use from here on, so nobody prunes it
                return f"not pinned, it is damaged in {self.engines}"
            release = f" for release {self.release}" if self.release else ""
            pins.pin(stored.path.parent, f"accepted{release} by {self.by}: {self.why}")
        except (SetupError, OSError) as error:
            return f"not pinned: {error}"
        return "pinned"


def _sound(path: Path) -> Accepted | None:
    """Return what was accepted before; None for a file that is damaged, and so published again."""
    try:
        return load(path)
    except EvidenceError:
        return None


def _date(campaign: Campaign) -> str:
    runs = (entry.record for entry in campaign.entries if entry.run == campaign.run)
    started = [record.started for record in runs if isinstance(record, Run)]
    return _safe(re.sub("[-:]", "", started[0])[:15] if started else "undated")


def _safe(text: str) -> str:
    """Return a text from evidence as a file name; two texts may give the same one."""
    return re.sub(r"[^A-Za-z0-9_~.-]", "_", text).lstrip(".")[:LONGEST] or "_"


def _told(measurement: Measurement) -> str:
    return f"{measurement.metric} {figure(measurement.value, measurement.unit)}"
