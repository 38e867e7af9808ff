"""What a run times for its comparisons; what it times for a night is in test_nights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import planning
from bench.comparison import Comparison
from bench.rule import Rule
from bench.settings import Settings
from bench.sweep import Sweep
from bench.units import Unit
from fixtures import catalogue
from fixtures.case import Case
from fixtures.runtime import Missing
from reports.entry import Entry
from reports.history import History
from tests import records

OVER_T4: Rule = catalogue.find("rule", "ascend310_over_t4")
CPU: Rule = catalogue.find("rule", "openvino_over_onnxruntime")
OPENVINO, ONNXRUNTIME, ASCEND, T4 = (
    records.case(1, name) for name in ("openvino", "onnxruntime", "ascend310", "t4_trtexec")
)
HERE, ACROSS = Comparison(CPU, OPENVINO, ONNXRUNTIME), Comparison(OVER_T4, ASCEND, T4)


def item(name: str, **parameters: Any) -> SimpleNamespace:
    return SimpleNamespace(nodeid=name, callspec=SimpleNamespace(params=parameters))


def workshop(missing: tuple[Case, ...] = (), backends: tuple[str, ...] = ()) -> Any:
    return SimpleNamespace(
        missing=lambda case: Missing("no", "get one") if case in missing else None,
        selection=SimpleNamespace(backends=backends),
    )


def units(
    *items: SimpleNamespace,
    missing: tuple[Case, ...] = (),
    given: list[Entry] | None = None,
    backends: tuple[str, ...] = (),
) -> list[Unit]:
    return planning.units(items, workshop(missing, backends), given or [], History(Path("nowhere")))


def evidence(*found: Any) -> list[Entry]:
    return [Entry("one", record) for record in found]


def names(found: list[Unit]) -> list[str]:
    return [unit.name for unit in found]


def test_cases_that_run_here_are_timed_each_under_its_own_test():
    found = units(item("a", timed_case=OPENVINO), item("b", timed_case=ONNXRUNTIME), SimpleNamespace(nodeid="c"))
    assert [(unit.name, unit.test) for unit in found] == [(OPENVINO.id, "a"), (ONNXRUNTIME.id, "b")]
    assert names(units(item("a", timed_case=OPENVINO), missing=(OPENVINO,))) == []


def test_the_cases_of_a_sweep_are_timed_where_no_test_of_their_own_asks_for_them():
    batches = tuple(replace(OPENVINO, batch=batch) for batch in (1, 4))
    swept, own = item("s", sweep=Sweep(batches)), item("own", timed_case=batches[1])
    assert {unit.name: unit.test for unit in units(swept)} == {each.id: "s" for each in batches}
    for items in ((swept, own), (own, swept)):
        assert {unit.name: unit.test for unit in units(*items)} == {batches[0].id: "s", batches[1].id: "own"}
    assert names(units(swept, missing=(batches[0],))) == [batches[1].id]


def test_a_plan_tells_that_the_best_batch_is_measured_again():
    swept = item("s", sweep=Sweep((OPENVINO, replace(OPENVINO, batch=4))))
    told = planning.compared([swept], workshop(), [], History(Path("nowhere")), Settings())
    assert told == ["sweep    edsr-openvino  the best of 2 batches again, in 5 fresh rounds"]


def test_two_that_run_here_take_turns_with_the_baseline_first():
    (found,) = units(item("c", comparison=HERE))
    assert (found.name, found.paired, found.test) == (HERE.id, True, "c")
    assert [arm.case for arm in found.arms] == [ONNXRUNTIME, OPENVINO]


def test_a_side_in_evidence_is_never_measured_again_and_the_other_one_is():
    given = evidence(*records.rounds([85.0], T4))
    assert names(units(item("c", comparison=ACROSS), given=given)) == [ASCEND.id]
    both = [*given, *evidence(*records.rounds([22.0], ASCEND))]
    assert units(item("c", comparison=ACROSS), given=both) == []


def test_a_pair_in_evidence_is_used():
    baseline, candidate = records.turns([(20.0, 22.0)] * 5, ONNXRUNTIME, OPENVINO)
    assert units(item("c", comparison=HERE), given=evidence(*baseline, *candidate)) == []


@pytest.mark.parametrize("missing", [(ASCEND,), (T4,), (ASCEND, T4)])
def test_nothing_is_measured_for_a_comparison_whose_other_side_is_nowhere(missing):
    assert units(item("c", comparison=ACROSS), missing=missing) == []


def test_a_side_that_backend_leaves_out_is_not_measured_for_a_comparison():
    assert units(item("c", comparison=HERE), backends=("onnxruntime",)) == []
    assert names(units(item("c", comparison=HERE), backends=("onnxruntime", "openvino"))) == [HERE.id]
    (why,) = [planning.missing_here(workshop(backends=("onnxruntime",)))(OPENVINO)]
    assert why is not None
    assert why.reason == "openvino is not among --backend"
    given = evidence(*records.rounds([85.0], T4))  # what is given needs no --backend
    assert names(units(item("c", comparison=ACROSS), given=given, backends=("ascend310",))) == [ASCEND.id]


def test_sides_that_cannot_take_turns_are_timed_apart():
    assert names(units(item("c", comparison=ACROSS))) == [T4.id, ASCEND.id]


def test_a_case_that_two_tests_want_is_timed_once_for_its_own():
    wanted = item("own", timed_case=ASCEND), item("c", comparison=ACROSS)
    for items in (wanted, wanted[::-1]):
        found = {unit.name: unit.test for unit in units(*items)}
        assert found == {ASCEND.id: "own", T4.id: "c"}
