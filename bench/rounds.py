"""Takes rounds: prepares what a fresh process needs, keeps device and host to itself, and reads the answer."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import children, recorded
from bench.children import OutOfMemoryError, RoundError
from bench.effort import Effort
from bench.looks import Looks
from bench.mode import PURE, WHOLE
from bench.preparing import Arm, Prepared, on
from fixtures import devices, durations, locks, plan
from fixtures.case import Case
from fixtures.device import CPU, Device
from fixtures.workshop import Workshop
from reports.round import Round

__all__ = ["Arm", "OutOfMemoryError", "RoundError", "Rounds"]

SCRATCH = "signoff-round-"
ACCELERATOR_WARMUP_SECONDS = 2.0
"""At least: clocks rise (measurement protocol 4.4)."""
QUICK_PAIR_SECONDS, PAIR_SECONDS = 12.0, 300.0
"""What a round of pairs takes at most, warm-up included, where five pairs do not take longer."""
BATCH_SECONDS = 60.0
"""By which the patience with a whole data set grows for every batch."""


@dataclass
class Rounds:
    """Takes timed rounds of cases. What their processes read is written once, and kept until `close`."""

    workshop: Workshop
    _kept: dict[tuple[Case, str, bool], dict[str, Any]] = field(default_factory=dict)
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Remove what was kept."""
        self._kept.clear()
        if self._folder:
            self._folder.cleanup()
            self._folder = None

    def take(self, case: Case, seed: int, effort: Effort, mode: str = PURE) -> Round:
        """Time one round in a fresh process on one device, which nobody else uses before or after.

        Raises SetupError where the engine cannot be made or the device is in use, RoundError where the process fails
        or its outputs differ, OutOfMemoryError where memory was short.
        """
        return self._take(case, seed, effort, mode, whole_card=False)[0]

    def take_card(self, case: Case, seed: int, effort: Effort, mode: str = PURE) -> tuple[Round, ...]:
        """Time one round on every device of a card at once, a process each, let go together; raise as `take` does.

        None of them is taken again where it is not steady: they would not overlap any more.

        Raises RoundError for a tool that does not tell when its calls began: nothing would show that they overlapped.
        """
        return self._take(case, seed, effort, mode, whole_card=True)

    def take_pair(self, baseline: Arm, candidate: Arm, seed: int, effort: Effort) -> tuple[Round, Round]:
        """Time two engines in one fresh process that take turns call by call; return the baseline's round first.

        Raises what `take` raises, and RoundError for a tool that times itself in a process of its own.
        """
        arms = [Prepared.of(arm, self.workshop) for arm in (baseline, candidate)]
        for arm in arms:
            if not arm.runtime.alternates:
                raise RoundError(
                    f"{arm.case.id}: expected an engine that takes turns with another, call by call; found that "
                    f"{arm.backend.runtime} times itself in a process of its own; compare two campaigns instead"
                )
        with self._prepared(arms, PURE) as (scratch, parts):
            used = [devices.choose(arm.runtime, arm.backend) for arm in arms]
            named = [{**part, "device": on(device)} for part, device in zip(parts, used, strict=True)]
            request = self._request(named, effort, PURE, seed, used)
            longest = QUICK_PAIR_SECONDS if not effort.signs_off else PAIR_SECONDS
            request |= {"pair_seconds": longest, **_places(scratch, 0)}
            with self._exclusively(list(zip(arms, used, strict=True))):
                before = _looks(arms, used)
                for each in before:
                    each.refuse()
                (answer,) = children.run(candidate.case, [request], scratch)
                after = _looks(arms, used)
        turns, shared = uuid.uuid4().hex, recorded.of_process(answer)
        rounds = []
        for place, (arm, device) in enumerate(zip(arms, used, strict=True)):
            looked = before[place], after[place]
            pair = {"id": turns, "arm": place, **answer["pair"], "other": arms[1 - place].case.id}
            common = {"versions": arm.runtime.versions(arm.backend), **_siblings(device, *looked), "pair": pair}
            told = {**shared, **answer["arms"][place]}
            states = looked[0].found[0], looked[1].found[0]
            rounds.append(recorded.round_of(arm, seed, effort, PURE, told, common, *states))
        return rounds[0], rounds[1]

    def _take(self, case: Case, seed: int, effort: Effort, mode: str, whole_card: bool) -> tuple[Round, ...]:
        began = time.monotonic()
        arm = Prepared.of(Arm(case), self.workshop)
        with self._prepared([arm], mode) as (scratch, (part,)):
            used = self._devices(arm, whole_card)
            named = [{**part, "device": on(device)} for device in used]
            request = self._request(named[:1], effort, mode, seed, used)
            request |= {"again": not whole_card}
            if mode == WHOLE:
                patience = children.PATIENCE_SECONDS + BATCH_SECONDS * -(-len(arm.feed.names) // case.batch)
                request |= {"patience_seconds": patience}
            requests = [{**request, "arms": [each], **_places(scratch, number)} for number, each in enumerate(named)]
            with self._exclusively([(arm, device) for device in used]):
                before = Looks(arm.runtime, arm.backend, used)
                before.refuse()
                answers = children.run(case, requests, scratch)
                after = Looks(arm.runtime, arm.backend, used)
        told = [{**recorded.of_process(answer), **answer["arms"][0]} for answer in answers]
        if whole_card and any("begun_ns" not in each for each in told):
            raise RoundError(
                f"{case.id}: expected to see when each call began, so that the devices of a card can be seen to run "
                f"together; found that {arm.backend.runtime} does not tell; leave --device=card out"
            )
        if self.workshop.selection.subset is None:
            durations.note(effort.work(plan.ROUND), case, time.monotonic() - began)
        card = {"card_round": uuid.uuid4().hex} if whole_card else {}
        versions = arm.runtime.versions(arm.backend)
        common = {"versions": versions, **_siblings(used[0], before, after), **card}
        return tuple(
            recorded.round_of(arm, seed, effort, mode, each, common, *states)
            for each, *states in zip(told, before.found, after.found, strict=True)
        )

    def _devices(self, arm: Prepared, whole_card: bool) -> tuple[Device, ...]:
        if whole_card:
            return devices.card(arm.runtime, arm.backend)
        return (devices.choose(arm.runtime, arm.backend),)

    @contextlib.contextmanager
    def _prepared(self, arms: Sequence[Prepared], mode: str) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
        """Write what the arms need, and what they give; nothing of ours is loaded any more then."""
        _sweep()
        with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-") as scratch:
            try:
                parts = [self._part(arm, mode, len(arms) > 1, Path(scratch)) for arm in arms]
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise RoundError(
                    f"{arms[0].case.id}: expected room for the inputs of a round ({mode}); found {error.strerror} in "
                    f"{tempfile.gettempdir()}; free space there, or name another folder with TMPDIR"
                ) from None
            # Ours must be unloaded: it would be taken for somebody else's, and the round takes the device's lock.
            self.workshop.pool.close()
            yield Path(scratch), parts

    def _part(self, arm: Prepared, mode: str, paired: bool, scratch: Path) -> dict[str, Any]:
        """Return an arm's part of a request; from an earlier round, but of a whole data set, which is gigabytes."""
        key = arm.case, arm.engine.sha256, paired
        if mode == WHOLE:
            return arm.written(self.workshop, scratch / "arm", mode, every=False)
        if key not in self._kept:
            self._folder = self._folder or tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-")
            folder = Path(self._folder.name) / uuid.uuid4().hex
            try:
                self._kept[key] = arm.written(self.workshop, folder, mode, every=paired)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return self._kept[key]

    def _request(
        self, arms: list[dict[str, Any]], effort: Effort, mode: str, seed: int, used: Sequence[Device]
    ) -> dict[str, Any]:
        least = 0.0 if all(device == CPU for device in used) else ACCELERATOR_WARMUP_SECONDS
        return {
            "catalogues": [str(folder) for folder in self.workshop.selection.catalogues],
            "arms": arms,
            "mode": mode,
            "seed": seed,
            "serial_seconds": effort.serial_seconds,
            "window_seconds": effort.window_seconds,
            "warmup_seconds": max(effort.warmup_seconds, least),
        }

    @contextlib.contextmanager
    def _exclusively(self, used: Sequence[tuple[Prepared, Device]]) -> Iterator[None]:
        """Hold the locks of the devices and of the host."""
        names = [*(devices.lock(device, arm.backend) for arm, device in used), locks.HOST]
        with locks.hold(names, self.workshop.progress.say):
            yield


def _places(scratch: Path, number: int) -> dict[str, str]:
    """Return where a process leaves its answer, and says what it has reached."""
    steps = {step: str(scratch / f"{step}-{number}") for step in children.STEPS}
    return {"answer": str(scratch / f"answer-{number}.json"), **steps}


def _looks(arms: Sequence[Prepared], used: Sequence[Device]) -> list[Looks]:
    """Look at the device of either arm; once, where it is the same one."""
    first = Looks(arms[0].runtime, arms[0].backend, used[:1])
    if used[0].id == used[1].id:
        return [first, first]
    return [first, Looks(arms[1].runtime, arms[1].backend, used[1:])]


def _siblings(device: Device, before: Looks, after: Looks) -> dict[str, Any]:
    return {} if device == CPU else after.beside(before)


def _sweep() -> None:
    """Remove the inputs and outputs, often gigabytes, of runs that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        owner = left.name.removeprefix(SCRATCH).partition("-")[0]
        # Others write to this folder too: a link, or what another run removes meanwhile, is none of ours.
        with contextlib.suppress(OSError):
            ours = left.lstat().st_uid == os.getuid() and not left.is_symlink()
            if ours and owner.isdecimal() and not locks.alive(int(owner)):
                shutil.rmtree(left, ignore_errors=True)
