"""`python -m bench calibrate`: an engine against itself, what it says of the host, what it leaves for other days."""

from __future__ import annotations

import math
import signal
from dataclasses import replace

import pytest

from bench import __main__ as bench_main
from bench import calibrate, measuring
from bench import rounds as bench_rounds
from bench.children import RoundError
from bench.effort import EFFORTS, Effort
from fixtures import calibrations, catalogue
from reports import evidence
from reports.round import Round
from tests import records, tiny


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Fake:
    """Rounds that are made up: process n is slower by 2 ** n, and both arms of it alike."""

    taken = 0
    closed = 0

    def __init__(self, workshop):
        self.workshop = workshop
        self.alone, self.pairs = 0, 0

    def close(self):
        Fake.closed += 1

    def take(self, case, seed, effort, mode=None):
        self.alone += 1
        Fake.taken += 1
        return made(case, seed, 2**self.alone)

    def take_pair(self, baseline, candidate, seed, effort):
        self.pairs += 1
        Fake.taken += 1
        if fault := FAULTS.get(self.pairs):
            raise fault
        pair = {"pair": {"id": str(self.pairs), "arm": 0, "first": "0", "calls_per_sample": 1, "other": "it"}}
        return tuple(made(arm.case, seed, 3**self.pairs, pair) for arm in (baseline, candidate))


FAULTS: dict[int, BaseException] = {}


def made(case, seed, slower, details=None):
    times = tuple(round(1e6 * slower * (1 + place % 2)) for place in range(40))
    told = {"versions": {"onnxruntime": "1"}, **(details or {})}
    return records.timed_round(
        case=case,
        seed=seed,
        samples_ns=times,
        engine="ab" * 32,
        details=told,
        started=f"2026-01-02T03:04:{slower % 60:02}",
    )


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    for name in ("SIGNOFF_NOISE", "SIGNOFF_ENGINE_CACHE", "SIGNOFF_PROFILE", "SIGNOFF_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    with tiny.extended(tiny.write(tmp_path / "catalogue")) as folder:
        monkeypatch.setenv("SIGNOFF_CATALOGUE", str(folder))
        yield tmp_path


@pytest.fixture
def faked(home, monkeypatch):
    """Have made-up rounds, on a clock of their own."""
    clock = Clock()
    monkeypatch.setattr(calibrate, "Rounds", Fake)
    monkeypatch.setattr(measuring, "time", clock)
    monkeypatch.setattr(measuring.Measuring, "_prepare", lambda *_: None)
    monkeypatch.setattr(Fake, "taken", 0)
    monkeypatch.setattr(Fake, "closed", 0)
    FAULTS.clear()
    yield clock
    FAULTS.clear()


def run(home, *arguments):
    return calibrate.main(["--model=tiny", f"--record={home / 'noise.jsonl'}", *arguments])


def rows(text):
    """Return the rows of the report by name."""
    found = {}
    for line in text.splitlines():
        if line.startswith("  "):
            found[line[2:20].strip()] = line[22:]
    return found


def test_a_real_calibration_measures_notes_and_tells(home, monkeypatch, capsys):
    short = Effort("quick", 5, (5,), 0.0, 0.01, 0.01, 0.01, signs_off=False)
    monkeypatch.setitem(EFFORTS, "quick", short)
    monkeypatch.setattr(bench_rounds, "QUICK_PAIR_SECONDS", 0.0)
    assert run(home, "--rounds=2", "--effort=quick") == 0
    told = rows(capsys.readouterr().out)
    assert {"pair, per process", "between processes", "within a process", "days", "noise"} <= set(told)
    assert told["days"] == "not counted: 5 processes alone make a campaign"
    taken = [each.record for each in evidence.read(home / "noise.jsonl").entries if isinstance(each.record, Round)]
    assert len(taken) == 2 + 2 * 2
    assert len({each.details["process"] for each in taken}) == 4
    assert sum("pair" in each.details for each in taken) == 4


def test_what_differs_only_between_processes_is_told_as_such(home, faked, capsys):
    assert run(home) == 0
    told = rows(capsys.readouterr().out)
    sd = math.log(2) * math.sqrt(sum((n - 3.5) ** 2 for n in range(8)) / 7)
    assert told["between processes"] == f"sd latency {100 * sd:.0f} %"
    assert told["pair, per process"] == "sd 0 %: 5 rounds tell 2 % at 99 %"
    assert told["over itself"] == "1.0000 [1.0000, 1.0000] at 99 %; it is 1 in truth"
    assert told["within a process"] == f"sd {100 * math.log(2) / 2 * math.sqrt(40 / 39):.0f} % of a call"
    assert told["neighbouring calls"] == "correlation -0.97 alone, 0.00 of pairs"


def test_a_campaign_is_noted_for_other_days(home, faked, capsys):
    assert run(home) == 0
    (noted,) = calibrations._lines()
    assert (noted.case, noted.engine, noted.rounds, noted.device) == (tiny.case(), "ab" * 32, 8, "cpu")
    assert noted.log_means == {"latency": pytest.approx(math.log(1000 / 1.5) - 4.5 * math.log(2), abs=0.01)}
    assert noted.run == evidence.read(home / "noise.jsonl").entries[0].run
    assert rows(capsys.readouterr().out)["days"] == "1 of 3: calibrate on 2 other days, and the noise is measured"


def test_the_third_day_replaces_the_prior(home, faked, capsys):
    assert run(home) == 0
    assert "no accelerator: the prior" in rows(capsys.readouterr().out)["noise"]
    (today,) = calibrations._lines()
    for day in ("2025-01-01", "2025-01-02"):
        calibrations.note(replace(today, day=day))
    assert run(home) == 0
    told = rows(capsys.readouterr().out)
    assert told["days"] == "3: the noise is measured; each further day makes it surer"
    assert told["noise"].startswith("4.1 % (calibrated on 3 days; the prior of 5 % counts as 4 more)")


def test_rounds_are_spread_over_the_time_of_the_effort(home, faked):
    assert run(home, "--effort=nightly") == 0
    assert faked.now == pytest.approx(EFFORTS["nightly"].spread_seconds, abs=2)
    assert run(home, "--effort=quick") == 0
    assert faked.now == pytest.approx(EFFORTS["nightly"].spread_seconds, abs=2)


def test_ctrl_c_leaves_what_was_measured(home, faked, capsys):
    FAULTS[6] = KeyboardInterrupt()
    assert run(home) == 128 + signal.SIGINT
    assert Fake.closed == 1  # the inputs that its rounds read
    output = capsys.readouterr()
    assert "interrupted; what follows rests on the rounds that were taken" in output.err
    assert "5 of pairs" in output.out
    entries = evidence.read(home / "noise.jsonl").entries
    assert entries[-1].record.exitstatus == 130
    assert len(list(calibrations._lines())) == 1  # of five rounds alone or more


def test_ctrl_c_before_the_first_round_leaves_nothing(home, faked, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Fake, "take", interrupted)
    monkeypatch.setattr(Fake, "take_pair", interrupted)
    assert run(home) == 130
    assert "interrupted before anything was measured" in capsys.readouterr().err
    assert not (home / "noise.jsonl").exists()


def test_a_round_that_fails_is_told_beside_what_was_measured(home, faked, capsys):
    FAULTS[2] = RoundError("expected the timed process to finish; it ended with status 7")
    assert run(home) == 1
    output = capsys.readouterr()
    assert "it ended with status 7" in output.err
    assert output.out.startswith("tiny-bs1-onnxruntime, 8 processes alone and 1 of pairs\n")
    assert "pair, per process" not in rows(output.out)  # one process does not scatter


def test_rounds_that_guards_speak_against_are_told(home, faked, monkeypatch, capsys):
    monkeypatch.setattr(Fake, "take", lambda self, case, seed, *_: replace(made(case, seed, 1), flags=("host_busy",)))
    assert run(home) == 0
    told = rows(capsys.readouterr().out)["flags"]
    assert told == "host busy 8 of 24; two hosts are not compared by such rounds"


def test_a_tool_that_times_itself_takes_no_turns(home, faked, monkeypatch, capsys):
    monkeypatch.setattr(type(catalogue.find("runtime", "onnxruntime")), "alternates", False, raising=False)
    assert run(home) == 0
    output = capsys.readouterr()
    assert "8 processes alone, at least" in output.err
    assert "takes no turns with itself" in output.err
    assert "8 processes alone and 0 of pairs" in output.out


def test_a_plan_says_how_long_and_measures_nothing(home, monkeypatch, capsys):
    monkeypatch.setattr(calibrate, "Rounds", None)
    assert run(home, "--plan") == 0
    assert capsys.readouterr().err == (
        "tiny-bs1-onnxruntime against itself: 8 processes alone and 8 of pairs, at least 10 min, and the start of each "
        "process (nightly)\n"
    )
    assert not (home / "noise.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend=absent"], "found: its driver is not installed; install the driver"),
        (["--backend=onnxruntim"], "did you mean 'onnxruntime'"),
        (["--profile=official"], "unknown profile of tiny 'official'"),
        (["--record=/nowhere/at/all.jsonl"], "no folder /nowhere/at"),
    ],
)
def test_what_the_user_can_mend_is_said_before_anything_is_timed(home, faked, capsys, arguments, message):
    assert run(home, *arguments) == 1
    assert message in capsys.readouterr().err
    assert Fake.taken == 0


def test_a_wrong_noise_is_said_before_anything_is_timed(home, faked, monkeypatch, capsys):
    monkeypatch.setenv("SIGNOFF_NOISE", "much")
    assert run(home) == 1
    assert "expected a percentage" in capsys.readouterr().err
    assert Fake.taken == 0


@pytest.mark.parametrize("argument", ["--rounds=1", "--rounds=x", "--batch=0", "--effort=hard"])
def test_an_option_of_no_meaning_is_refused(home, argument, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(home, argument)


def test_it_is_a_command(home, monkeypatch):
    seen = []
    monkeypatch.setitem(bench_main.COMMANDS, "calibrate", lambda argv: seen.append(argv) or 0)
    assert bench_main.main(["calibrate", "--plan"]) == 0
    assert seen == [["--plan"]]


def test_the_processes_that_time_know_the_catalogue(home, faked, monkeypatch):
    workshops = []
    monkeypatch.setattr(calibrate, "Rounds", lambda workshop: workshops.append(workshop) or Fake(workshop))
    run(home)
    assert [str(path) for path in workshops[0].selection.catalogues] == [str(home / "catalogue")]
