"""Tonight is held against what was accepted: in turn where the engine changed, else across nights; all else is said."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import nights
from bench.campaigns import Campaign, campaigns
from bench.comparing import Comparing
from bench.nights import Tonight
from bench.regression import Regression, pair_name
from bench.settings import Settings
from fixtures.case import Case
from fixtures.runtime import Missing
from reports.accept import Acceptor
from reports.acceptance import Acceptance
from reports.entry import Entry, Record
from reports.evidence import Evidence, read
from reports.history import History
from reports.host_key import HARDWARE
from reports.measurement import Measurement
from reports.round import Round
from reports.run import End, Run
from reports.skip import Skip
from reports.verdict import Verdict
from tests import campaigns as files
from tests import records, tiny
from tests.test_digits import DIGITS, judged

CASE = records.case()
ENGINES = "ab" * 32, "cd" * 32, "ef" * 32
HOST = {name: "x" for name in HARDWARE} | {"os": "Linux", "kernel": "6", "python": "3", "packages": {}, "variables": {}}
RECIPE = {"checkpoint": "1b" * 32, "network": "e9" * 32, "precision": "fp32", "options": {}}
LOCKED = {"c0": 0.02, "why": "locked clocks"}


@dataclass
class Evening:
    """One night's run: a campaign of a case by itself, and how its engine was shown to be right."""

    number: int
    rates: Sequence[float]
    engine: str = ENGINES[0]
    host: Any = None
    case: Case = CASE
    details: Any = None
    device: str = "cpu"

    @property
    def run(self) -> str:
        return f"night{self.number:03}"

    @property
    def day(self) -> str:
        return str(date(2026, 1, 1) + timedelta(self.number))

    @property
    def entries(self) -> list[Entry]:
        """Return every line of the run, as `reports accept` reads them."""
        environment = {
            "stable": HOST if self.host is None else self.host,
            "recorded": {"host": "here"},
            "harness": {"revision": "ab" * 20, "clean": True},
        }
        details = {"effort": "nightly", "mode": "pure inference", "data": records.DATA["digest"], "noise": LOCKED}
        details |= {"timed_section": "host wall", "versions": {"onnxruntime": "1.30.0"}, **(self.details or {})}
        taken = [
            records.timed_round(
                case=self.case,
                engine=self.engine,
                samples_ns=tuple(round(1e9 / rate * factor) for factor in (0.9, 1.0, 1.1)),
                seed=number,
                device=self.device,
                started=f"{self.day}T03:{number:02d}:00+00:00",
                details=details,
            )
            for number, rate in enumerate(self.rates)
        ]
        of = {"engine": {**records.ENGINE, "sha256": self.engine, "recipe": RECIPE}, "data": records.DATA}
        when = f"{self.day}T04:00:00+00:00"
        right = records.measurement(case=self.case, taken=when, **of)
        found: list[Record] = [
            Run(("pytest",), environment, f"{self.day}T02:00:00+00:00"),
            right,
            records.verdict(case=self.case, measurements=(right.id,)),
            *taken,
            Measurement(
                self.case, "throughput", self.rates[0], "images/s", taken=when, details={"per": "device"}, **of
            ),
            Measurement(self.case, "latency", 1e3 / self.rates[0], "ms", taken=when, details={"per": "device"}, **of),
        ]
        found.append(End(0, {"run": 1, "round": len(taken)}, when))
        return [Entry(self.run, record) for record in found]

    @property
    def campaign(self) -> Campaign:
        return campaigns(self.entries, self.case)[-1]


def evening(number: int, rate: float = 50.0, **changes: Any) -> Evening:
    """Return a quiet night: five rounds that differ by 0.1 %."""
    return Evening(number, [rate * math.exp(0.001 * step) for step in (0, 1, -1, 2, -2)], **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "accepted"


def accept(folder: Path, *evenings: Evening, release: str = "1") -> None:
    """Accept nights by what the command line does."""
    for each in evenings:
        acceptor = Acceptor("ada", "first night", release, folder, folder.parent / "engines")
        said: list[str] = []
        evidence = [Evidence(Path(each.run), tuple(each.entries), ())]
        assert acceptor.accept(evidence, said.append) == 1, said


class Measured:
    """What the session measured, in the place of `Measuring`: tonight's campaign, and pairs with accepted engines."""

    def __init__(self, tonight: Evening, pairs: dict[str, Sequence[float]]) -> None:
        self.tonight = tonight
        self.units = {CASE.id: None, **{pair_name(CASE, engine): values for engine, values in pairs.items()}}
        self.engines = {pair_name(CASE, engine): engine for engine in pairs}

    def campaign(self, name: str) -> Campaign:
        assert name in self.units
        return self.tonight.campaign

    def arms(self, name: str) -> tuple[Campaign, Campaign]:
        """Return the accepted engine, and tonight's that is slower by the values (log)."""
        arms = []
        for place, engine in enumerate((self.engines[name], self.tonight.engine)):
            rates = [50.0 * math.exp(-value * place) for value in self.units[name]]
            own = replace(self.tonight, engine=engine, rates=rates).campaign
            rounds = []
            for number, each in enumerate(own.rounds):
                pair = {"id": f"{number:032x}", "arm": place, "first": "0", "calls_per_sample": 1, "other": CASE.id}
                rounds.append(replace(each, seed=100 * (1 + place) + number, details={**each.details, "pair": pair}))
            arms.append(replace(own, rounds=tuple(rounds)))
        return arms[0], arms[1]


def held(
    folder: Path,
    tonight: Evening,
    pairs: dict[str, Sequence[float]] | None = None,
    case: Case = CASE,
    missing: Missing | None = None,
) -> list[Verdict]:
    """Judge a night by what was accepted below a folder."""
    ledger: Any = SimpleNamespace(given=[], entries=tonight.entries, path=Path("night.jsonl"))
    comparing = Comparing(ledger, Settings(), None, lambda case: missing)
    measuring: Any = Measured(tonight, pairs or {})
    return Regression(comparing, History(folder), measuring).verdicts(Tonight(case))


def test_another_engine_takes_turns_with_the_accepted_one_and_is_held_to_two_percent(folder):
    accept(folder, evening(0))
    slower, little = ([by + 0.001 * step for step in (0, 1, -1, 2, -2)] for by in (0.03, 0.01))
    tonight = evening(1, rate=20.0, engine=ENGINES[1])  # the nights themselves are far apart, and do not count
    (failed,) = held(folder, tonight, {ENGINES[0]: slower})
    assert (failed.status, failed.required) == ("failed", 0.98)
    assert "5 rounds in turn on one host" in failed.reason
    assert "against the latest accepted, by ada on" in failed.reason
    assert "changed since: engine abababab -> cdcdcdcd" in failed.reason
    (passed,) = held(folder, tonight, {ENGINES[0]: little})
    assert passed.status == "passed"


def test_the_oldest_of_the_release_allows_twice_as_much(folder):
    accept(folder, evening(0))
    accept(folder, evening(1), evening(2, engine=ENGINES[1]), release="2")
    slow = [0.03 + 0.001 * step for step in (0, 1, -1, 2, -2)]
    slower = [0.045 + 0.001 * step for step in (0, 1, -1, 2, -2)]
    tonight = evening(3, engine=ENGINES[2])
    found = held(folder, tonight, {ENGINES[0]: slow, ENGINES[1]: [0.0] * 5})
    assert [each.status for each in found] == ["passed", "passed"]
    worst, latest = held(folder, tonight, {ENGINES[0]: slower, ENGINES[1]: [0.0] * 5})
    assert (worst.status, worst.required, latest.status) == ("failed", 0.96, "passed")
    assert "against the oldest accepted of its release, by ada on" in worst.reason
    assert "changed since: engine abababab -> efefefef" in worst.reason


def test_the_same_engine_is_held_to_five_percent_or_what_the_host_can_tell_apart(folder):
    accept(folder, evening(0))
    (passed,) = held(folder, evening(1, rate=50.5))
    assert passed.status == "passed"
    assert "nothing changed since" in passed.reason
    # One campaign each by the prior of 2 %: 5.4 % below 1.
    assert passed.required == pytest.approx(math.exp(-1.96 * math.sqrt(2) * 0.02), abs=1e-3)
    (failed,) = held(folder, evening(1, rate=44.0))
    assert failed.status == "failed"


def test_a_history_narrows_what_the_host_can_tell_down_to_five_percent(folder):
    accept(folder, *(evening(number) for number in range(12)))
    latest, oldest = sorted(held(folder, evening(12, rate=50.5)), key=lambda each: -each.required)
    assert (latest.required, oldest.required) == (0.95, 0.9)
    assert {latest.status, oldest.status} == {"passed"}


def test_what_changed_in_the_environment_is_named(folder):
    accept(folder, evening(0))
    changed = evening(1, 50.5, host={**HOST, "kernel": "7"}, details={"versions": {"onnxruntime": "1.31.1"}})
    (found,) = held(folder, changed)
    assert found.status == "passed"
    assert "changed since: kernel 6 -> 7, onnxruntime 1.30.0 -> 1.31.1" in found.reason


def test_undecided_for_lack_of_history_says_what_the_host_can_tell_apart(folder):
    accept(folder, evening(0))
    (found,) = held(folder, evening(1, rate=49.0))
    assert found.status == "undecided"
    assert "for lack of history: 1 accepted campaign of this host; it tells 5.4 % apart" in found.reason


def test_a_host_that_scatters_does_not_blame_its_history(folder):
    accept(folder, *(evening(number, rate=50 * (1 + 0.05 * (-1) ** number)) for number in range(12)))
    found = held(folder, evening(12, rate=40.0))
    assert [each.status for each in found] == ["undecided", "undecided"]
    assert found[0].required != found[1].required
    for each in found:
        assert "12 accepted campaigns of this host; it tells 16.8 % apart: it scatters that much" in each.reason
        assert "lack of history" not in each.reason


def test_an_accepted_engine_that_is_not_in_the_store_is_said_to_be_missing(folder):
    accept(folder, evening(0))
    (found,) = held(folder, evening(1, rate=44.0, engine=ENGINES[1]))
    assert found.status == "failed"
    assert "the accepted engine is not in this host's store, or cannot take turns there" in found.reason


def test_nothing_accepted_is_undecided_with_the_command_and_what_it_would_tell(folder):
    (found,) = held(folder, evening(0))
    assert found.status == "undecided"
    assert re.search(r"python -m reports accept \S+ --by=NAME --why=TEXT", found.reason)
    assert "tells 5.7 % apart here" in found.reason


def test_a_renamed_model_or_backend_is_refused(folder):
    for changes in ({"model": "gone"}, {"backend": "gone"}, {"profile": "gone"}):
        case = replace(CASE, **changes)
        (found,) = held(folder, evening(0), case=case)
        assert (found.status, found.case) == ("refused", case)
        assert f"accepted as {case.id}, and there is no such case any more; was it renamed?" in found.reason


def test_a_case_that_cannot_run_tonight_is_refused_with_the_reason(folder):
    accept(folder, evening(0))
    (found,) = held(folder, evening(1), missing=Missing("no driver", "install it"))
    assert found.status == "refused"
    assert "accepted before, and not run tonight: no driver; install it" in found.reason


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ((HOST, {**HOST, "cores": "y"}), "cores x -> y"),
        ((HOST, {"os": "Linux", "cpu": "x"}), "cores x -> not recorded"),
        (({"os": "Linux", "cpu": "x"}, {"os": "Linux", "cpu": "x"}), "cores not recorded on either side"),
    ],
)
def test_an_unknown_host_is_refused_and_what_differs_is_named(folder, hosts, said):
    accept(folder, evening(0, host=hosts[0]))
    (found,) = held(folder, evening(1, rate=60.0, host=hosts[1]))
    assert found.status == "refused"
    assert "an unknown host: accepted on other hardware (" in found.reason
    assert said in found.reason


def test_an_unknown_host_may_take_turns(folder):
    accept(folder, evening(0))
    tonight = evening(1, host={**HOST, "cores": "y"}, engine=ENGINES[1])
    (found,) = held(folder, tonight, {ENGINES[0]: [0.0, 0.001, -0.001, 0.002, -0.002]})
    assert found.status == "passed"
    assert "cores x -> y" in found.reason


def test_only_campaigns_of_the_same_hardware_tell_how_it_scatters(folder):
    accept(folder, *(evening(number, 50.0 * (1 + number), host={**HOST, "cores": "y"}) for number in range(5)))
    accept(folder, evening(5), evening(6))
    latest, oldest = held(folder, evening(7, rate=44.0))
    assert (latest.status, oldest.status) == ("failed", "refused")  # the oldest is of the other host
    assert latest.required == pytest.approx(0.946, abs=1e-3)


def test_another_accelerator_in_the_same_host_is_another_host(folder):
    accept(folder, on_card(evening(0), "Tesla T4"))
    (found,) = held(folder, on_card(evening(1, rate=60.0), "Tesla L4"))
    assert found.status == "refused"
    assert "accepted on other hardware (device Tesla T4 -> Tesla L4)" in found.reason
    (found,) = held(folder, on_card(evening(1, rate=60.0), "Tesla T4"))
    assert found.status == "passed"


def on_card(night: Evening, name: str) -> Evening:
    return replace(night, device="GPU-1", details={"before": {"name": name}})


class Card(Evening):
    """A night on which all devices of a card were timed at once: here it has one."""

    @property
    def entries(self) -> list[Entry]:
        return [self._at_once(entry) for entry in super().entries]

    def _at_once(self, entry: Entry) -> Entry:
        if not isinstance(entry.record, Round):
            return entry
        details = {**entry.record.details, "card_round": str(entry.record.seed)}
        return replace(entry, record=replace(entry.record, details=details))


def test_a_card_is_held_against_a_card_and_not_against_a_device(folder):
    accept(folder, Card(**vars(evening(0))))
    (found,) = held(folder, Card(**vars(evening(1, rate=50.5))))
    assert found.status == "passed"
    (found,) = held(folder, evening(1, rate=50.5))
    assert found.status == "refused"
    assert "devices: candidate one device, baseline card of 1 devices" in found.reason


def test_another_engine_among_the_accepted_ones_is_no_scatter(folder):
    accept(folder, *(evening(number, 25.0, engine=ENGINES[1]) for number in range(6)))
    accept(folder, *(evening(number) for number in range(6, 12)), release="2")
    latest, oldest = sorted(held(folder, evening(12, rate=50.5)), key=lambda each: -each.required)
    assert (latest.status, oldest.status) == ("passed", "passed")
    assert (latest.required, oldest.required) == (0.95, 0.9)


def test_a_damaged_history_is_named_and_left_out(folder):
    accept(folder, evening(0), evening(1))
    newest = sorted(folder.rglob("*.jsonl"))[-1]
    newest.write_text(newest.read_text()[:-40])
    (found,) = held(folder, evening(2, rate=44.0))
    assert found.status == "failed"  # against the one that is whole
    (problem,) = History(folder).problems
    assert problem.startswith(str(newest))
    assert problem.endswith("; left out")


def test_thirty_unchanged_nights_from_an_empty_history_never_fail(folder):
    numbers, found = random.Random(4), Counter()
    for number in range(31):
        level = numbers.gauss(0, 0.02)
        rates = [50 * math.exp(level + numbers.gauss(0, 0.01)) for _ in range(5)]
        tonight = Evening(number, rates)
        verdicts = held(folder, tonight)
        found.update(each.status for each in verdicts)
        assert len(verdicts) == (1 if number < 2 else 2)
        accept(folder, tonight)
    assert found["failed"] == found["refused"] == 0
    assert found["passed"] > 40


def test_a_host_that_creeps_is_found_against_the_oldest_of_the_release(folder):
    for number in range(60):
        tonight = evening(number, 50 * math.exp(-0.003 * number))
        worst, *others = held(folder, tonight)
        if worst.status == "failed":
            break
        accept(folder, tonight)
    assert 30 < number < 50
    assert "against the oldest accepted of its release" in worst.reason
    assert "failed" not in {each.status for each in others}


# --- end to end ------------------------------------------------------------------------------------------------------


def of_the_rule(found: list[Any]) -> dict[str, Verdict]:
    return {each.case.id: each for each in found if isinstance(each, Verdict) and each.rule == nights.RULE}


def test_a_night_with_what_is_gone_missing_or_damaged_is_not_green(tmp_path):
    accepted = tmp_path / "accepted"
    accepted.mkdir()
    gone = replace(tiny.case(), model="renamed")
    for case in (gone, tiny.case("absent")):
        entries = [*files.run("one", *files.timed(case)), Entry("one", Acceptance(case, "ada", "why", ""))]
        files.write(accepted / f"{case.id}.jsonl", *entries)
    (accepted / "damaged.jsonl").write_text((accepted / f"{gone.id}.jsonl").read_text()[:-30])
    options = ("bench/test_regression.py", "--model=tiny", "--effort=nightly", f"--history={accepted}")
    done = tiny.run_pytest(tmp_path, *options, "-k", "renamed or absent")
    assert done.returncode == 1, done.stdout + done.stderr
    written = [entry.record for entry in read(tmp_path / "evidence.jsonl").entries]
    found = of_the_rule(written)
    assert {name: each.status for name, each in found.items()} == dict.fromkeys(
        ("renamed-bs1-onnxruntime", "tiny-bs1-absent"), "refused"
    )
    assert "was it renamed?" in found["renamed-bs1-onnxruntime"].reason
    assert "its driver is not installed; install the driver" in found["tiny-bs1-absent"].reason
    assert [each.cases for each in written if isinstance(each, Skip)] == [("tiny-bs4-absent",)]  # never accepted
    assert "damaged.jsonl: expected a whole file" in " ".join(done.stdout.split())


def test_who_only_judges_holds_no_night(tmp_path):
    accepted = tmp_path / "accepted"
    accepted.mkdir()
    gone = replace(tiny.case(), model="renamed")
    entries = [*files.run("one", *files.timed(gone), *files.right(gone)), Entry("one", Acceptance(gone, "ada", "why"))]
    files.write(accepted / "gone.jsonl", *entries)
    tests = ("bench/test_regression.py", "acceptance/test_accuracy_regression.py")
    options = ("--model=tiny", "--effort=nightly", f"--history={accepted}")
    planned = tiny.run_pytest(tmp_path, *tests, *options, "--collect-only", "-q")
    assert planned.stdout.count("[renamed-bs1-onnxruntime]") == 2, planned.stdout + planned.stderr
    given = tmp_path / "given.jsonl"
    files.write(given, *entries[:-1])
    done = tiny.run_pytest(tmp_path, *tests, *options, "--judge-only", f"--evidence={given}")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout + done.stderr
    assert not (tmp_path / "evidence.jsonl").exists()


def test_the_first_night_of_a_model_is_undecided_and_its_exit_status_says_so(tmp_path):
    options = (f"--catalogue={DIGITS}", "--model=digits", "--batch=1", "bench/test_regression.py", "-k", "onnxruntime")
    (tmp_path / "none").mkdir()
    first = judged(tmp_path / "night", *options, "--effort=nightly", "--budget=1s", f"--history={tmp_path / 'none'}")
    assert first.status == 7, first.output
    (found,) = of_the_rule(first.records).values()
    assert found.status == "undecided"
    assert re.search(r"python -m reports accept \S+ --by=NAME --why=TEXT", found.reason)
