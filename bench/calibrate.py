"""`python -m bench calibrate`: times an engine against itself, to learn how noisy this host is.

Repeated on other days, it gives the deviation between campaigns that comparisons across hosts and nights rest on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

from bench import importing
from bench.against_itself import AgainstItself
from bench.campaigns import REPLICATED, Campaign
from bench.child.timing import PairPlan
from bench.effort import EFFORTS, NIGHTLY, Effort
from bench.measuring import Measuring
from bench.rounds import Arm, Rounds
from bench.settings import Settings
from bench.units import Unit
from fixtures import backend as backends
from fixtures import calibrations, catalogue, devices, durations, grid, home, local, noise
from fixtures.calibrations import ENOUGH_DAYS, Calibration
from fixtures.case import Case
from fixtures.errors import SetupError
from fixtures.progress import Progress
from fixtures.runtime import Runtime
from fixtures.store import engine_cases
from fixtures.workshop import Workshop
from reports import environment
from reports.ledger import Ledger, check_writable
from reports.schema import UnwritableError

TEST = "calibrate"
"""Stands in the evidence in the place of a test."""


class Spoken(Progress):
    """Progress where there is no pytest: lines on standard error, now and then."""

    def __init__(self) -> None:
        pass

    def say(self, sentence: str) -> None:
        """Print one line."""
        print(sentence, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def track(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """Give a function that is told how many of how many are done."""
        yield self._lines(title)


def main(argv: Sequence[str]) -> int:
    """Calibrate; return 0, or 1 with the reason printed, or 130 where Ctrl-C ended it: what was measured is told."""
    options = _parser().parse_args(argv)
    for name in local.PATHS:
        if said := getattr(options, name):
            os.environ[local.variable(name)] = str(said.expanduser().absolute())
    try:
        return _calibrate(options, argv)
    except (SetupError, UnwritableError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted before anything was measured", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench calibrate", description=__doc__)
    parser.add_argument("--model", default="enet")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--batch", type=_from(1), default=1)
    parser.add_argument("--size", type=_from(1), metavar="PIXELS", help="default: the first that is timed of the model")
    parser.add_argument("--profile", default="sample")
    parser.add_argument("--rounds", type=_from(2), default=8, help="processes alone, and as many of pairs; default: 8")
    parser.add_argument(
        "--effort",
        choices=sorted(EFFORTS),
        default=NIGHTLY.name,
        help="how long a round is, and over what time they are spread; default: nightly, over ten minutes",
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="evidence to append to; default: new, reports/runs")
    parser.add_argument("--plan", action="store_true", help="say what would be timed and how long it takes, and stop")
    for name, help in local.PATHS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, metavar="FILE", help=help)
    return parser


def _from(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, found {text!r}")
        return int(text)

    return read


def _calibrate(options: argparse.Namespace, argv: Sequence[str]) -> int:
    noise.stated()  # a wrong one is said before ten minutes are spent
    sizes = [options.size] if options.size else []
    selection = engine_cases.selection(
        options.profile, [options.model], [options.backend], [options.batch], sizes, store=home.engines()
    )
    folders = tuple(Path(folder) for folder in _catalogues())
    workshop = Workshop(replace(selection, catalogues=folders), Spoken())
    case = grid.timed(selection)[0]
    effort = replace(EFFORTS[options.effort], rounds=options.rounds, looks=(options.rounds,), budget_seconds=None)
    if missing := workshop.missing(case):
        raise SetupError(f"{case.id}: expected a backend that runs here; found: {missing.reason}; {missing.next_step}")
    runtime: Runtime = catalogue.find("runtime", backends.find(case.backend).runtime)
    workshop.progress.say(_announced(case, effort, runtime.alternates))
    if options.plan:
        return 0
    path = options.record or _new_record()
    check_writable(path)
    ledger = Ledger(path, argv=("python", "-m", "bench", "calibrate", *argv))
    units = [Unit(case.id, (Arm(case),), TEST)]
    if runtime.alternates:
        units.append(Unit(f"{case.id} with itself", (Arm(case), Arm(case)), TEST))
    with contextlib.closing(workshop.pool), contextlib.closing(Rounds(workshop)) as rounds:
        status = _measured(Measuring(rounds, ledger, Settings(effort), workshop.progress, units))
    _report(case, ledger, units)
    ledger.close(status)
    return status


def _measured(measuring: Measuring) -> int:
    """Take all rounds; return the exit status, with what went wrong printed."""
    units = list(measuring.units.values())
    try:
        measuring.of(units[0].name)
    except KeyboardInterrupt:
        if not any(unit.taken for unit in units):
            raise
        print("\ninterrupted; what follows rests on the rounds that were taken", file=sys.stderr)
        return 128 + signal.SIGINT
    except SetupError:
        pass  # it stands in its unit
    errors = [unit.error for unit in units if unit.error]
    for error in errors:
        print(error, file=sys.stderr)
    return int(bool(errors))


def _announced(case: Case, effort: Effort, pairs: bool) -> str:
    alone = effort.warmup_seconds + effort.serial_seconds + effort.window_seconds
    paired = (2 * effort.warmup_seconds + PairPlan.seconds) * pairs
    seconds = max(effort.spread_seconds, effort.rounds * (alone + paired))
    rounds = f"{effort.rounds} processes alone" + f" and {effort.rounds} of pairs" * pairs
    without = "" if pairs else "; its tool times itself, and takes no turns with itself"
    took = f"at least {durations.told(seconds)}, and the start of each process"
    return f"{case.id} against itself: {rounds}, {took} ({effort.name}){without}"


def _report(case: Case, ledger: Ledger, units: Sequence[Unit]) -> None:
    """Print what was found, and note the day where it makes a campaign."""
    alone = tuple(each for group in units[0].taken for each in group)
    pairs = [group for unit in units[1:] for group in unit.taken]
    if not alone and not pairs:
        return
    found = AgainstItself(Campaign(case, ledger.run, {}, alone), pairs)
    print(f"{case.id}, {len(units[0].taken)} processes alone and {len(pairs)} of pairs")
    rows = [*found.rows()]
    means = found.log_means()
    if means:
        first = alone[0]
        calibration = Calibration(
            case,
            first.engine,
            first.device,
            first.details.get("versions", {}),
            datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            environment.describe()["recorded"]["boot_id"],
            means,
            len(units[0].taken),
            ledger.run,
        )
        calibrations.note(calibration)
        rows.append(("days", _days(calibrations.days(calibration))))
    else:
        rows.append(("days", f"not counted: {REPLICATED} processes alone make a campaign"))
    backend = backends.find(case.backend)
    device = devices.choose(catalogue.find("runtime", backend.runtime), backend)
    conditions = [each.details.get(name, {}) for each in alone for name in ("conditions_begin", "conditions_end")]
    rows.append(("noise", noise.told(noise.of(backend, device, conditions))))
    for name, sentence in rows:
        print(f"  {name:<18}  {sentence}")
    print(f"  {'evidence':<18}  {ledger.path}")


def _new_record() -> Path:
    importing.RUNS.mkdir(parents=True, exist_ok=True)
    return importing.RUNS / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}.jsonl"


def _days(count: int) -> str:
    if count < ENOUGH_DAYS:
        more = ENOUGH_DAYS - count
        return f"{count} of {ENOUGH_DAYS}: calibrate on {more} other day{'s' * (more > 1)}, and the noise is measured"
    return f"{count}: the noise is measured; each further day makes it surer"


def _catalogues() -> list[str]:
    """Return the user's own folders, which the processes that time must know as well."""
    said = os.environ.get("SIGNOFF_CATALOGUE", "").split(",")
    return [str(Path(folder.strip()).expanduser().absolute()) for folder in said if folder.strip()]
