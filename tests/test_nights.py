"""Which cases a night holds against what, which engines take turns for it, and what its margins are."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import nights, planning
from bench.campaigns import other_hardware
from bench.nights import Tonight, kept, steps, tonight
from bench.regression import pair_name
from bench.settings import Settings
from bench.statistics import student
from bench.units import Unit
from fixtures import catalogue
from fixtures.case import Case
from fixtures.engines import Engine
from fixtures.errors import SetupError
from fixtures.runtime import Missing
from fixtures.selection import Selection
from reports.acceptance import Acceptance
from reports.entry import Entry
from reports.history import LATEST, OLDEST, History
from tests import campaigns, records, tiny
from tests.test_regression import CASE, ENGINES, Evening, accept, evening, on_card

RULE = catalogue.find("rule", nights.RULE)


@pytest.fixture
def grid(tmp_path):
    """Return a selection of the tiny model, whose catalogue this process knows for a while."""
    with tiny.extended(tiny.write(tmp_path / "catalogue")) as folder:
        yield Selection("sample", ("tiny",), ("onnxruntime",), (), (), (), {}, {}, None, None, (folder,))


def timed(folder: Path, case: Case) -> None:
    """Publish the speed of a case."""
    folder.mkdir(exist_ok=True)
    entries = [*campaigns.run("one", *campaigns.timed(case)), Entry("one", Acceptance(case, "ada", "why", ""))]
    campaigns.write(folder / f"{case.id}-{case.profile}.jsonl", *entries)


# --- which cases -----------------------------------------------------------------------------------------------------


def test_what_was_accepted_is_held_and_at_night_everything_is(grid, tmp_path):
    folder = tmp_path / "accepted"
    assert tonight(grid, History(folder), every_night=False) == []
    timed(folder, tiny.case(batch=4))
    assert tonight(grid, History(folder), every_night=False) == [Tonight(tiny.case(batch=4))]
    assert tonight(grid, History(folder), every_night=True) == [Tonight(tiny.case(batch=n)) for n in (1, 4)]


def test_what_was_accepted_for_its_accuracy_alone_has_no_speed_to_hold(grid, tmp_path):
    entries = [*campaigns.run("one", *campaigns.right(tiny.case())), Entry("one", records.acceptance(case=tiny.case()))]
    campaigns.write(tmp_path / "accuracy.jsonl", *entries)
    assert tonight(grid, History(tmp_path), every_night=False) == []


@pytest.mark.parametrize("changes", [{"model": "gone"}, {"backend": "gone"}, {"backend": "gone~emulated"}])
def test_a_case_whose_model_or_backend_is_gone_is_there_at_night_without_a_candidate(grid, tmp_path, changes):
    case = replace(tiny.case(), **changes)
    timed(tmp_path / "accepted", case)
    found = tonight(replace(grid, backends=()), History(tmp_path / "accepted"), every_night=True)
    assert [each for each in found if each.candidate is None] == [Tonight(case)]


def test_a_model_that_has_the_profile_no_more_is_gone(grid, tmp_path):
    case = replace(tiny.case(), profile="official")
    timed(tmp_path / "accepted", case)
    official = replace(grid, profile="official", models=())
    (found,) = tonight(official, History(tmp_path / "accepted"), every_night=True)
    assert (found.case, found.candidate, found.id) == (case, None, "tiny-bs1-onnxruntime")


@pytest.mark.parametrize("changes", [{"backends": ("openvino",)}, {"batches": (1,)}, {"sizes": (5,)}, {"models": ()}])
def test_a_case_that_was_not_asked_for_is_not_held(grid, tmp_path, changes):
    timed(tmp_path / "accepted", tiny.case(batch=4))
    found = tonight(replace(grid, **changes), History(tmp_path / "accepted"), every_night=True)
    assert Tonight(tiny.case(batch=4)) not in found


# --- against what ----------------------------------------------------------------------------------------------------


def test_a_night_is_held_against_the_latest_and_the_oldest_of_its_release(tmp_path):
    folder = tmp_path / "accepted"
    assert nights.references(History(folder), CASE) == {}
    accept(folder, evening(0))
    accept(folder, evening(1), release="2")
    (only,) = nights.references(History(folder), CASE).items()
    assert (only[0], only[1].run) == (LATEST, "night001")
    accept(folder, evening(2), evening(3), release="2")
    found = nights.references(History(folder), CASE)
    assert {name: each.run for name, each in found.items()} == {LATEST: "night003", OLDEST: "night001"}


def store(*entries: tuple[str, Engine | None]) -> Any:
    """Return a workshop whose store has engines by digest; None stands for one that is damaged."""
    known = [SimpleNamespace(sha256=sha256, recipe=sha256, path=Path("engine")) for sha256, _ in entries]
    found = dict(entries)
    held = SimpleNamespace(entries=lambda: known, find=lambda recipe, name: found[recipe])
    tonights = SimpleNamespace(sha256=ENGINES[1])
    return SimpleNamespace(
        missing=lambda case: None,
        selection=SimpleNamespace(backends=()),
        sources=SimpleNamespace(store=held, engine=lambda case: tonights),
    )


@pytest.fixture
def fits(monkeypatch) -> list[str | None]:
    """Return a list of one: why an engine does not fit this host, if it does not."""
    why: list[str | None] = [None]
    runtime = catalogue.find("runtime", "onnxruntime")
    monkeypatch.setattr(type(runtime), "misfit", lambda self, engine, backend: why[0])
    return why


def test_the_accepted_engine_is_taken_from_the_store_if_whole_fitting_and_able_to_take_turns(fits, monkeypatch):
    engine: Any = SimpleNamespace(sha256=ENGINES[0])
    workshop = store((ENGINES[2], None), (ENGINES[0], engine))
    assert kept(workshop, CASE, ENGINES[0]) is engine
    assert kept(workshop, CASE, "11" * 32) is None
    assert kept(workshop, CASE, ENGINES[2]) is None  # damaged
    fits[0] = "made for another processor"
    assert kept(workshop, CASE, ENGINES[0]) is None
    fits[0] = None
    monkeypatch.setattr(type(catalogue.find("runtime", "onnxruntime")), "alternates", False)
    assert kept(workshop, CASE, ENGINES[0]) is None


def planned(workshop: Any, history: History, night: Tonight | None = None) -> list[Unit]:
    item: Any = SimpleNamespace(nodeid="t", callspec=SimpleNamespace(params={"tonight": night or Tonight(CASE)}))
    return planning.units([item], workshop, [], history)


def test_a_pair_is_planned_with_each_accepted_engine_that_is_another_one_and_still_there(tmp_path, fits):
    engines: list[Any] = [SimpleNamespace(sha256=each) for each in ENGINES]
    folder = tmp_path / "accepted"
    both = store((ENGINES[0], engines[0]), (ENGINES[2], engines[2]))
    assert [unit.name for unit in planned(both, History(folder))] == [CASE.id]
    accept(folder, evening(0), evening(1, engine=ENGINES[2]))
    alone, latest, oldest = planned(both, History(folder))
    assert (alone.name, alone.paired) == (CASE.id, False)
    assert (latest.name, oldest.name) == (pair_name(CASE, ENGINES[2]), pair_name(CASE, ENGINES[0]))
    assert [(arm.case, arm.engine) for arm in oldest.arms] == [(CASE, engines[0]), (CASE, None)]
    assert [unit.name for unit in planned(store((ENGINES[0], engines[0])), History(folder))] == [CASE.id, oldest.name]


def test_the_same_engine_takes_no_turns_with_itself(tmp_path, fits):
    tonights: Any = SimpleNamespace(sha256=ENGINES[1])
    accept(tmp_path / "accepted", evening(0, engine=ENGINES[1]))
    assert len(planned(store((ENGINES[1], tonights)), History(tmp_path / "accepted"))) == 1


def test_nothing_is_measured_for_what_is_gone_or_cannot_run_and_a_build_that_fails_is_told_by_its_case(tmp_path):
    history = History(tmp_path)
    assert planned(store(), history, Tonight(replace(CASE, model="gone"))) == []
    workshop = store()
    workshop.missing = lambda case: Missing("no", "get one")
    assert planned(workshop, history) == []
    workshop = store()

    def fail(case: Case) -> None:
        raise SetupError("no compiler")

    workshop.sources.engine = fail
    assert [unit.name for unit in planned(workshop, history)] == [CASE.id]


def test_a_plan_says_what_tonight_is_held_against(tmp_path):
    accept(tmp_path / "accepted", evening(0), evening(1))
    item: Any = SimpleNamespace(nodeid="t", callspec=SimpleNamespace(params={"tonight": Tonight(CASE)}))
    for history, told in (
        (History(tmp_path / "none"), "nothing: none was accepted"),
        (History(tmp_path / "accepted"), "the latest accepted ("),
    ):
        (line,) = planning.compared([item], store(), [], history, Settings())
        assert line.startswith(f"tonight  {CASE.id}  against {told}")


# --- margins ---------------------------------------------------------------------------------------------------------


@given(st.floats(0, 10))
def test_the_margin_across_nights_is_five_percent_or_what_the_host_can_tell_and_twice_that_for_the_oldest(half_width):
    latest, oldest = (nights.apart(RULE, reference, half_width).required for reference in (LATEST, OLDEST))
    margin = 1 - latest
    assert margin == pytest.approx(max(0.05, 1 - math.exp(-half_width)), abs=1e-3)
    assert oldest == pytest.approx(max(1 - 2 * margin, 1e-3), abs=2e-3)
    assert 0 < oldest < latest <= 0.95 or oldest == latest == 1e-3


def test_the_margin_in_turn_is_two_percent_and_twice_that_for_the_oldest():
    assert [nights.in_turn(RULE, reference).required for reference in (LATEST, OLDEST)] == [0.98, 0.96]


def nightly(means: list[float], engines: list[str]) -> list[Any]:
    return [
        Evening(number, [50 * math.exp(mean)] * 5, engine=engine).campaign
        for number, (mean, engine) in enumerate(zip(means, engines, strict=True))
    ]


def test_steps_are_from_each_night_to_the_next_and_not_from_one_engine_to_another():
    first, second = ENGINES[:2]
    found = steps(nightly([0.0, 0.02, 0.5, 0.51], [first, first, second, second]), "latency", "median")
    assert found == pytest.approx([0.02 / math.sqrt(2), 0.01 / math.sqrt(2)], abs=1e-6)
    assert steps(nightly([0.0], [first]), "latency", "median") == ()
    assert steps(nightly([0.0, 0.1], [first, first]), "device_compute", "median") == ()


def test_steps_deviate_as_nights_do_and_creep_hardly_enters():
    import numpy as np

    means = np.random.default_rng(1).normal(0, 0.02, 400)
    for creep in (0.0, -0.003):
        crept = [float(mean + creep * number) for number, mean in enumerate(means)]
        found = steps(nightly(crept, [ENGINES[0]] * len(crept)), "latency", "median")
        assert student.deviation(found) == pytest.approx(0.02, rel=0.1)


# --- what changed ----------------------------------------------------------------------------------------------------


def test_what_changed_is_named_once_and_only_hardware_makes_another_host():
    then = evening(0).campaign
    now = evening(1, engine=ENGINES[1], details={"versions": {"openvino": "2"}}).campaign
    assert nights.changed(now, then) == [
        "engine abababab -> cdcdcdcd",
        "onnxruntime 1.30.0 -> unknown",
        "openvino unknown -> 2",
    ]
    assert nights.changed(then, then) == other_hardware(now, then) == []
    t4, l4 = (on_card(evening(0), name).campaign for name in ("Tesla T4", "Tesla L4"))
    assert other_hardware(l4, t4) == ["device Tesla T4 -> Tesla L4"]
    assert other_hardware(t4, then) == ["device cpu -> Tesla T4"]
