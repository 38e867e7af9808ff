from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import measuring as module
from bench.campaigns import campaigns
from bench.effort import NIGHTLY, QUICK, SIGNOFF, Effort
from bench.measuring import BudgetError, Measuring
from bench.mode import PURE, WHOLE
from bench.rounds import Arm, RoundError
from bench.rule import Rule
from bench.settings import Settings
from bench.units import Unit, of_case, of_pair
from fixtures import catalogue
from fixtures.case import Case
from fixtures.engines import Engine
from reports.evidence import read
from reports.ledger import Ledger
from reports.measurement import Measurement
from reports.round import Round
from tests import records

CPU: Rule = catalogue.find("rule", "openvino_over_onnxruntime")
A, B, C = (records.case(1, name) for name in ("onnxruntime", "openvino", "torch"))
SHORT = replace(QUICK, budget_seconds=None)


class Clock:
    """Time that passes when it is slept, or said to."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


class Sources:
    def __init__(self) -> None:
        self.built: list[str] = []
        self.broken: dict[str, Exception] = {}

    def engine(self, case: Case) -> Engine:
        self.built.append(case.id)
        if case.id in self.broken:
            raise self.broken[case.id]
        return Engine(Path("e"), "ab" * 32, "key", {}, 0.0)


class Rounds:
    """Takes rounds at once, and remembers what was asked for."""

    def __init__(self, clock: Clock, seconds: float = 1.0) -> None:
        self.clock, self.seconds = clock, seconds
        self.asked: list[str] = []
        self.began: list[float] = []
        self.seeds: list[int] = []
        self.modes: list[str] = []
        self.failing: dict[str, BaseException] = {}
        self.flags: tuple[str, ...] = ()
        self.faster = 1.1
        """The candidate of a pair."""
        self.workshop = SimpleNamespace(
            sources=Sources(), described=lambda case: {"dataset": "div2k", "digest": "cd" * 32}
        )

    def take(self, case: Case, seed: int, effort: Effort, mode: str = PURE) -> Round:
        self._asked(case.id, seed)
        self.modes.append(mode)
        (taken,) = records.rounds([20.0], case, flags=self.flags, effort=effort.name)
        return replace(taken, seed=seed)

    def take_card(self, case: Case, seed: int, effort: Effort, mode: str = PURE) -> tuple[Round, ...]:
        self._asked(f"card {case.id}", seed)
        (taken,) = records.rounds([20.0], case, card_round=f"{seed}", begun_ns=[0, 10**8, 2 * 10**8])
        return tuple(replace(taken, seed=seed, device=f"d{place}") for place in range(4))

    def take_pair(self, baseline: Arm, candidate: Arm, seed: int, effort: Effort) -> tuple[Round, Round]:
        self._asked(f"{baseline.case.id} and {candidate.case.id}", seed)
        rate = 20.0 * (1 + 0.001 * (len(self.asked) % 2))
        arms = records.turns([(rate, 20.0 * self.faster)], baseline.case, candidate.case, flags=self.flags)
        minute = f"2026-01-02T03:{len(self.asked):02d}:00"
        pair: list[Round] = []
        for (taken,) in arms:
            told = {**taken.details, "pair": {**taken.details["pair"], "id": f"{len(self.asked)}"}}
            pair.append(replace(taken, seed=seed, started=minute, details=told))
        return pair[0], pair[1]

    def _asked(self, what: str, seed: int) -> None:
        self.asked.append(what)
        self.began.append(self.clock.now)
        self.seeds.append(seed)
        self.clock.now += self.seconds
        if what in self.failing:
            raise self.failing[what]


class Said:
    ends: float | None = None

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.told: list[tuple[int, int]] = []

    def say(self, sentence: str) -> None:
        self.lines.append(sentence)

    @contextlib.contextmanager
    def track(self, title: str):
        yield lambda done, of: self.told.append((done, of))


@pytest.fixture
def clock(monkeypatch, tmp_path) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SIGNOFF_DEVICE", raising=False)
    return clock


@pytest.fixture
def rounds(clock) -> Rounds:
    return Rounds(clock)


@pytest.fixture
def start(rounds, tmp_path):
    """Return a function that makes a campaign of units."""

    def make(*units: Unit, effort: Effort = SHORT, seed: int = 7, **settings: Any) -> Measuring:
        ledger = Ledger(tmp_path / "evidence.jsonl", run="one")
        made = Measuring(rounds, ledger, Settings(effort, **settings), Said(), units)
        made.seed = seed
        return made

    return make


def alone(*cases: Case) -> list[Unit]:
    return [of_case(case, f"test[{case.id}]") for case in cases]


def turns(name: str = "pair", baseline: Case = A, candidate: Case = B) -> Unit:
    return of_pair(name, CPU, (Arm(baseline), Arm(candidate)), f"test[{name}]")


# --- the order -------------------------------------------------------------------------------------------------------


def test_nothing_is_timed_before_it_is_asked_for_and_then_everything_once(start, rounds):
    campaign = start(*alone(A, B))
    assert rounds.asked == []
    assert len(campaign.of(A.id)) == 5
    assert len(rounds.asked) == 10
    campaign.of(B.id)
    campaign.of(A.id)
    assert len(rounds.asked) == 10


def test_rounds_go_round_robin_every_unit_once_a_pass_in_random_order(start, rounds):
    start(*alone(A, B, C)).of(A.id)
    passes = [rounds.asked[at : at + 3] for at in range(0, 15, 3)]
    assert all(sorted(each) == sorted(case.id for case in (A, B, C)) for each in passes)
    assert len({tuple(each) for each in passes}) > 1


def test_the_order_and_the_seeds_follow_from_the_seed_of_the_campaign(start, rounds):
    orders = []
    for seed in (7, 7, 8):
        rounds.asked, rounds.seeds = [], []
        start(*alone(A, B, C), seed=seed).of(A.id)
        orders.append((rounds.asked, rounds.seeds))
    assert orders[0] == orders[1] != orders[2]
    assert len(set(orders[0][1])) == 15


def test_the_evidence_keeps_the_order_and_the_seed_of_every_round(start, rounds):
    campaign = start(*alone(A, B))
    campaign.of(A.id)
    entries = [e for e in read(campaign.ledger.path).entries if isinstance(e.record, Round)]
    assert [entry.record.case.id for entry in entries] == rounds.asked
    assert [entry.record.seed for entry in entries] == rounds.seeds
    assert all(entry.test == f"test[{entry.record.case.id}]" for entry in entries)


def test_the_evidence_keeps_the_seed_that_the_order_follows_from(start, rounds):
    campaign = start(*alone(A, B, C), seed=8)
    campaign.of(A.id)
    asked, seeds = rounds.asked, rounds.seeds
    found = (entry.record for entry in read(campaign.ledger.path).entries)
    kept = {each.details["campaign_seed"] for each in found if isinstance(each, Round)}
    assert kept == {8}
    rounds.asked, rounds.seeds = [], []
    start(*alone(A, B, C), seed=kept.pop()).of(A.id)
    assert (rounds.asked, rounds.seeds) == (asked, seeds)


def test_engines_are_built_before_anything_is_timed(start, rounds):
    rounds.workshop.sources.engine = lambda case: pytest.fail("timed before built") if rounds.asked else None
    start(*alone(A, B)).of(A.id)


def test_progress_counts_to_the_rounds_there_are(start):
    campaign = start(*alone(A, B))
    campaign.of(A.id)
    assert campaign.progress.told == [(done, 10) for done in range(1, 11)]


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_unit_that_fails_does_not_stop_the_others(start, rounds):
    rounds.failing[A.id] = RoundError("it crashed")
    campaign = start(*alone(A, B))
    with pytest.raises(RoundError, match="it crashed"):
        campaign.of(A.id)
    assert len(campaign.of(B.id)) == 5
    assert rounds.asked.count(A.id) == 1
    for ask in (campaign.figures, campaign.campaign):
        with pytest.raises(RoundError, match="it crashed"):
            ask(A.id)


def test_an_engine_that_cannot_be_built_does_not_stop_the_others(start, rounds):
    rounds.workshop.sources.broken[A.id] = RoundError("no compiler")
    campaign = start(*alone(A, B))
    assert len(campaign.of(B.id)) == 5
    assert A.id not in rounds.asked
    with pytest.raises(RoundError, match="no compiler"):
        campaign.of(A.id)


def interrupt(rounds: Any, after: int) -> None:
    """Have Ctrl-C come in place of the round after so many."""
    asked = rounds._asked

    def interrupted(what: str, seed: int) -> None:
        if len(rounds.asked) == after:
            raise KeyboardInterrupt
        asked(what, seed)

    rounds._asked = interrupted


def test_ctrl_c_leaves_the_rounds_that_were_recorded(start, rounds):
    campaign = start(*alone(A, B))
    interrupt(rounds, after=3)
    with pytest.raises(KeyboardInterrupt):
        campaign.of(A.id)
    campaign.ledger.close(2)
    found = read(campaign.ledger.path).entries
    assert sum(isinstance(entry.record, Round) for entry in found) == 3
    assert sum(len(each.rounds) for case in (A, B) for each in campaigns(found, case)) == 3


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (0, "before a first round was taken"),
        (1, "1 round of 1 case is kept in the evidence"),
        (4, "4 rounds of 2 cases and 1 pair are kept in the evidence"),
    ],
)
def test_ctrl_c_says_what_is_kept(start, rounds, after, said):
    campaign = start(*alone(A, C), turns())
    interrupt(rounds, after)
    with pytest.raises(KeyboardInterrupt):
        campaign.of(A.id)
    assert campaign.progress.lines[1:] == [f"interrupted: {said}"]
    assert campaign.progress.ends is None


def test_what_was_taken_before_ctrl_c_has_its_figures_and_can_be_judged(start, rounds):
    campaign = start(*alone(A, B))
    interrupt(rounds, after=3)
    with pytest.raises(KeyboardInterrupt):
        campaign.of(A.id)
    campaign.keep()
    found = read(campaign.ledger.path).entries
    kept = [each for case in (A, B) for each in campaigns(found, case)]
    assert sorted(each.figures["latency"].details["rounds"] for each in kept) == [1, 2]
    campaign.keep()
    assert len(read(campaign.ledger.path).entries) == len(found)


def test_figures_that_cannot_be_kept_do_not_keep_the_evidence_from_its_end(start, rounds, monkeypatch):
    campaign = start(*alone(A))
    campaign.of(A.id)
    monkeypatch.setattr(module.figures, "measurements", lambda *_: (_ for _ in ()).throw(RoundError("apart")))
    campaign.keep()
    campaign.ledger.close(2)
    assert sum(isinstance(e.record, Round) for e in read(campaign.ledger.path).entries) == 5


def test_what_breaks_the_campaign_off_is_not_taken_for_a_measurement_later(start, rounds):
    rounds.failing.update(dict.fromkeys((A.id, B.id), ZeroDivisionError()))
    campaign = start(*alone(A, B))
    with pytest.raises(ZeroDivisionError):
        campaign.of(A.id)
    for case in (A, B):
        with pytest.raises(RoundError, match="broken off; see the first test that failed"):
            campaign.of(case.id)


# --- how much --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("effort", "count"), [(SHORT, 5), (NIGHTLY, 5), (SIGNOFF, 8)])
def test_the_effort_says_how_many_rounds(start, effort, count):
    assert len(start(*alone(A), effort=effort).of(A.id)) == count


def test_a_round_that_was_not_steady_asks_for_eight_but_not_of_a_quick_look(start, rounds):
    rounds.flags = ("not_steady",)
    assert len(start(*alone(A), effort=NIGHTLY).of(A.id)) == 8
    assert len(start(*alone(B)).of(B.id)) == 5


def test_the_budget_ends_further_rounds_and_not_the_one_that_runs(start, rounds):
    found = start(*alone(A), effort=replace(SHORT, budget_seconds=3.5)).of(A.id)
    assert len(found) == 3  # after three seconds another one would not fit


def test_a_budget_that_ends_before_a_first_round_is_said_of_that_case_alone(start, rounds):
    rounds.seconds = 10
    campaign = start(*alone(A, B, C), effort=replace(SHORT, budget_seconds=15))
    with contextlib.suppress(BudgetError):
        campaign.of(A.id)
    done, undone = rounds.asked, {A.id, B.id, C.id} - set(rounds.asked)
    assert (len(done), len(undone)) == (2, 1)
    with pytest.raises(
        BudgetError, match=r"^no round of it was started: the budget of 15 s was spent; give more with --budget"
    ):
        campaign.of(undone.pop())
    assert all(len(campaign.of(name)) == 1 for name in done)


def test_a_budget_that_cut_rounds_short_says_which_once_and_so_do_their_figures(start, rounds):
    rounds.seconds = 10
    campaign = start(*alone(A, B, C), turns(), effort=replace(SHORT, budget_seconds=65))
    taken = {name: len(unit.taken) for name, unit in campaign.units.items() if campaign.figures(A.id)}
    assert sum(taken.values()) == 6
    (line,) = campaign.progress.lines[1:]
    counts = [f"{name} {count} of {'up to ' * (name == 'pair')}5 rounds" for name, count in taken.items()]
    assert line == f"the budget of 65 s ended measuring: {', '.join(counts)}"
    for name in taken:
        for each in campaign.figures(name):
            assert each.details["cut"] == f"{each.details['rounds']} of {'up to ' * (name == 'pair')}5 rounds: " + (
                "the budget of 65 s ended"
            )


def test_of_many_cases_that_the_budget_cut_short_some_are_named(start, rounds):
    rounds.seconds = 10
    cases = [records.case(batch) for batch in range(1, 8)]
    campaign = start(*alone(*cases), effort=replace(SHORT, budget_seconds=15))
    with contextlib.suppress(BudgetError):
        campaign.of(cases[0].id)
    line = campaign.progress.lines[-1]
    assert line.startswith("the budget of 15 s ended measuring: ")
    assert line.endswith(" none, and 2 more") or line.endswith(" of 5 rounds, and 2 more")


@pytest.mark.parametrize("seconds", [None, 1000.0])
def test_a_budget_that_cut_nothing_short_says_nothing(start, seconds):
    campaign = start(*alone(A), turns(), effort=replace(SHORT, budget_seconds=seconds))
    assert not any("cut" in each.details for name in (A.id, "pair") for each in campaign.figures(name))
    assert len(campaign.progress.lines) == 1


@pytest.mark.parametrize(
    ("effort", "units", "said"),
    [
        (QUICK, (*alone(A, B, C), turns()), "3 cases and 1 pair in rounds: 5 each, at most 3.5 min"),
        (QUICK, (turns(),), "1 pair in rounds: 5 each, at most 3.5 min"),
        (NIGHTLY, (turns(),), "1 pair in rounds: 5 to 20 each"),
        (SIGNOFF, (*alone(A), turns()), "1 case and 1 pair in rounds: 8 each, 5 to 20 of a pair, spread over 10 min"),
    ],
)
def test_how_much_is_to_come_is_said_before_the_first_round(start, rounds, clock, effort, units, said):
    campaign = start(*(replace(unit, taken=[]) for unit in units), effort=effort)
    campaign.progress.say = lambda sentence: campaign.progress.lines.append((len(rounds.asked), sentence))
    campaign.of(units[0].name)
    assert campaign.progress.lines[0] == (0, f"measuring {said}")


def test_what_cannot_be_built_is_not_announced(start, rounds):
    rounds.workshop.sources.broken[A.id] = RoundError("no compiler")
    campaign = start(*alone(A))
    with pytest.raises(RoundError, match="no compiler"):
        campaign.of(A.id)
    assert campaign.progress.lines == []


@pytest.mark.parametrize(
    ("effort", "seconds", "enough"),
    [(NIGHTLY, 60, False), (NIGHTLY, 600, False), (NIGHTLY, 602, True), (SIGNOFF, 340, False), (SIGNOFF, 350, True)],
)
def test_a_budget_that_ends_before_a_campaign_can_be_one_is_said_at_the_start(start, clock, effort, seconds, enough):
    campaign = start(*alone(A), effort=replace(effort, budget_seconds=seconds))
    assert (len(campaign.of(A.id)) >= 5) == enough
    ends = f"a budget of {seconds} s" if seconds < 100 else f"a budget of {round(seconds / 60, 1):g} min"
    said = f"{ends} ends before the rounds are spread over 10 min: no campaign comes of it"
    assert (said in campaign.progress.lines[:2]) != enough


def test_a_pair_needs_no_spread_and_is_not_told_of_one(start, clock):
    campaign = start(turns(), effort=replace(NIGHTLY, budget_seconds=60))
    campaign.of("pair")
    assert campaign.progress.lines == ["measuring 1 pair in rounds: 5 to 20 each, at most 60 s"]


def test_progress_knows_when_the_budget_ends_and_only_then(start, clock):
    seen = []
    campaign = start(*alone(A), effort=replace(SHORT, budget_seconds=60.0))
    track = campaign.progress.track

    def tracked(title: str):
        seen.append(campaign.progress.ends)
        return track(title)

    campaign.progress.track = tracked
    campaign.of(A.id)
    assert (seen, campaign.progress.ends) == ([1060.0], None)


def test_short_rounds_go_on_where_long_ones_do_not_fit_any_more(start, rounds):
    campaign = start(*alone(A, B), effort=replace(SHORT, budget_seconds=20))
    take = rounds.take

    def slow(case: Case, *arguments: Any) -> Round:
        rounds.seconds = 11 if case == A else 1
        return take(case, *arguments)

    rounds.take = slow
    assert len(campaign.of(B.id)) == 5
    assert len(campaign.of(A.id)) == 1


# --- the spread ------------------------------------------------------------------------------------------------------


def test_the_rounds_of_a_campaign_are_spread_evenly_over_the_time_it_is_to_see(start, rounds, clock):
    campaign = start(*alone(A), effort=NIGHTLY)
    campaign.of(A.id)
    assert [at - 1000 for at in rounds.began] == pytest.approx([0, 150, 300, 450, 600])
    first, *waits = campaign.progress.lines
    assert first == "measuring 1 case in rounds: 5 each, spread over 10 min"
    assert waits == ["waiting 2 min: rounds are spread over 10 min"] * 4


def test_rounds_that_take_long_enough_wait_for_nothing(start, rounds, clock):
    rounds.seconds = 200
    start(*alone(A), effort=NIGHTLY).of(A.id)
    assert clock.slept == 0


def test_quick_looks_and_pairs_wait_for_nothing(start, rounds, clock):
    start(*alone(A)).of(A.id)
    rounds.faster = 1.0
    start(turns(), effort=NIGHTLY).of("pair")
    assert clock.slept == 0


def test_nothing_is_waited_for_that_the_budget_rules_out(start, rounds, clock):
    found = start(*alone(A), effort=replace(NIGHTLY, budget_seconds=160)).of(A.id)
    assert len(found) == 2
    assert clock.now == pytest.approx(1151)


# --- pairs -----------------------------------------------------------------------------------------------------------


def test_a_pair_stops_at_the_look_that_decides(start, rounds):
    assert len(start(turns(), effort=SIGNOFF).of("pair")) == 5


def test_a_pair_that_nothing_decides_takes_all_looks_and_no_more(start, rounds):
    rounds.faster = 1.0005
    assert len(start(turns(), effort=SIGNOFF).of("pair")) == 20
    assert len(start(turns(), effort=NIGHTLY).of("pair")) == 20


def test_a_pair_is_looked_at_where_the_effort_looks_and_nowhere_else(start):
    asked = []
    unit = replace(turns(), decided=lambda taken: asked.append(len(taken)))
    start(unit, effort=NIGHTLY).of("pair")
    assert sorted(set(asked)) == [5, 8, 12]  # twenty is the most it takes, whatever that says


def test_a_pair_that_was_not_steady_is_decided_at_eight_at_the_earliest(start, rounds):
    rounds.flags = ("not_steady",)
    assert len(start(turns(), effort=SIGNOFF).of("pair")) == 8


def test_pairs_and_single_cases_share_the_passes(start, rounds):
    start(*alone(C), turns()).of(C.id)
    assert [set(rounds.asked[at : at + 2]) for at in range(0, 10, 2)] == [
        {C.id, f"{A.id} and {B.id}"},
    ] * 5


def test_the_arms_of_a_pair_are_two_campaigns_with_figures_of_their_own(start, rounds):
    campaign = start(turns())
    baseline, candidate = campaign.arms("pair")
    assert (baseline.case, candidate.case) == (A, B)
    assert len(baseline.rounds) == len(candidate.rounds) == 5
    assert set(baseline.figures) == set(candidate.figures) == {"latency", "device_compute"}
    assert candidate.figures["latency"].value < baseline.figures["latency"].value
    assert {m.case for m in baseline.figures.values()} == {A}


def test_an_arm_with_an_engine_of_its_own_is_not_built(start, rounds):
    kept = Engine(Path("kept"), "ef" * 32, "key", {}, 0.0)
    unit = of_pair("night", CPU, (Arm(A, kept), Arm(A)), "test")
    baseline, candidate = start(unit).arms("night")
    assert set(rounds.workshop.sources.built) == {A.id}
    assert baseline.figures["latency"].engine["sha256"] == "ef" * 32
    assert candidate.figures["latency"].engine["sha256"] == "ab" * 32
    assert baseline.figures["latency"].value != candidate.figures["latency"].value


# --- what is recorded ------------------------------------------------------------------------------------------------


def test_figures_are_recorded_once_under_the_test_that_owns_them(start, rounds):
    campaign = start(*alone(A))
    assert campaign.figures(A.id) is campaign.figures(A.id)
    written = [e for e in read(campaign.ledger.path).entries if isinstance(e.record, Measurement)]
    assert [entry.record for entry in written] == campaign.figures(A.id)
    assert {entry.test for entry in written} == {f"test[{A.id}]"}


def test_figures_that_could_not_be_made_are_not_taken_for_none(start, rounds, monkeypatch):
    campaign = start(*alone(A))
    make = module.figures.measurements
    monkeypatch.setattr(module.figures, "measurements", lambda *_: (_ for _ in ()).throw(RoundError("apart")))
    for _ in range(2):
        with pytest.raises(RoundError, match="apart"):
            campaign.figures(A.id)
    monkeypatch.setattr(module.figures, "measurements", make)
    assert len(campaign.figures(A.id)) == 3


def test_the_campaign_that_was_measured_is_the_one_its_evidence_holds(start, rounds):
    campaign = start(*alone(A))
    own = campaign.campaign(A.id)
    (found,) = campaigns(read(campaign.ledger.path).entries, A)
    assert replace(found, rounds=()) == replace(own, rounds=())
    assert sorted(found.rounds, key=lambda r: r.seed) == sorted(own.rounds, key=lambda r: r.seed)
    assert own.environment


def test_fresh_rounds_of_a_case_leave_its_campaign_and_the_others_alone(start, rounds):
    campaign = start(*alone(A, B), effort=replace(SHORT, budget_seconds=3.5))
    before = campaign.figures(A.id)
    count, taken = len(rounds.asked), len(campaign.of(A.id))
    fresh = campaign.again(A.id)
    assert campaign.again(A.id) is fresh
    assert set(rounds.asked[count:]) == {A.id}
    assert (campaign.figures(A.id), len(campaign.of(A.id))) == (before, taken)
    (found,) = campaigns(read(campaign.ledger.path).entries, A)
    assert len(found.rounds) == taken


def test_the_whole_data_set_is_timed_where_that_was_asked_for(start, rounds):
    start(*alone(A), whole_data_set=True).of(A.id)
    assert set(rounds.modes) == {WHOLE}


def test_all_devices_of_a_card_run_at_once_where_that_was_asked_for(start, rounds, monkeypatch):
    monkeypatch.setenv("SIGNOFF_DEVICE", "card")
    ascend = records.case(1, "ascend310")
    campaign = start(*alone(A, ascend))
    assert [len(group) for group in campaign.of(ascend.id)] == [4] * 5
    assert [len(group) for group in campaign.of(A.id)] == [1] * 5
    assert campaign.campaign(ascend.id).per == "card"
