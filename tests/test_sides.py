from __future__ import annotations

from dataclasses import replace

import pytest

from bench import sides
from bench.comparison import Comparison
from bench.rule import Rule
from bench.sides import Absent, fitting
from fixtures import catalogue
from fixtures.case import Case
from fixtures.runtime import Missing
from reports.entry import Entry
from tests import records

OVER_T4: Rule = catalogue.find("rule", "ascend310_over_t4")
CPU: Rule = catalogue.find("rule", "openvino_over_onnxruntime")
ASCEND = records.case(1, "ascend310", size=256, shows_size=True)
T4 = records.case(1, "t4_trtexec", size=256, shows_size=True)
OPENVINO, ONNXRUNTIME = (records.case(1, name) for name in ("openvino", "onnxruntime"))
ACROSS = Comparison(OVER_T4, ASCEND, T4)
HERE = Comparison(CPU, OPENVINO, ONNXRUNTIME)


def evidence(run: str, *found) -> list[Entry]:
    return [Entry(run, record) for record in found]


def nothing_runs(case: Case) -> Missing | None:
    return Missing(f"no {case.backend}", "find one")


def all_runs(case: Case) -> Missing | None:
    return None


# --- what is where ---------------------------------------------------------------------------------------------------


def test_a_side_in_neither_place_is_absent_with_what_would_bring_it():
    assert sides.absent(ACROSS, [], nothing_runs) == [
        Absent(ASCEND, "no ascend310", "find one"),
        Absent(T4, "no t4_trtexec", "find one"),
    ]
    given = evidence("one", *records.rounds([85.0], T4))
    command = sides.measured_elsewhere(ASCEND).next_step
    assert sides.absent(ACROSS, given, nothing_runs) == [Absent(ASCEND, "no ascend310", f"find one; or {command}")]
    assert sides.absent(ACROSS, given, sides.measured_elsewhere)[0].next_step == command
    assert sides.absent(ACROSS, given, lambda case: nothing_runs(case) if case == T4 else None) == []


def test_stand_ins_are_found_where_nothing_else_is_and_never_beside_a_device():
    of_a_stand_in = evidence("one", *records.rounds([22.0], sides.emulated(ASCEND)))
    (found,) = sides.in_evidence(ASCEND, of_a_stand_in)
    assert found.case.backend == "ascend310~emulated"
    (found,) = sides.in_evidence(ASCEND, [*of_a_stand_in, *evidence("two", *records.rounds([22.0], ASCEND))])
    assert found.case == ASCEND
    assert sides.emulated(sides.emulated(ASCEND)) == sides.emulated(ASCEND)
    assert sides.in_evidence(sides.emulated(ASCEND), evidence("two", *records.rounds([22.0], ASCEND))) == []


def test_the_command_for_a_side_elsewhere_names_all_that_chooses_it():
    why = sides.measured_elsewhere(sides.emulated(ASCEND))
    assert why.reason == "no evidence of ascend310 was given"
    assert "--profile sample --model edsr --size 256 --backend ascend310 --effort signoff" in why.next_step
    assert "--size" not in sides.measured_elsewhere(OPENVINO).next_step
    kinds = [sides.measured_elsewhere(case).next_step.partition(":")[0] for case in (ASCEND, T4, OPENVINO)]
    assert kinds == [
        "measure it on a host with an Ascend310",
        "measure it on a host with a GPU of compute capability 7.5",
        "measure it on a host with openvino",
    ]


def test_the_latest_run_in_which_two_took_turns_is_judged_and_the_others_are_said():
    turns = records.turns([(20.0, 22.0)] * 2, ONNXRUNTIME, OPENVINO)
    later = records.turns([(20.0, 23.0)] * 2, ONNXRUNTIME, OPENVINO, day="2026-01-03")
    entries = [*evidence("later", *later[0], *later[1]), *evidence("first", *turns[0], *turns[1])]
    assert sides.pairs_in_evidence(HERE, []) == []
    found = sides.pairs_in_evidence(HERE, entries)
    baseline, candidate = found[-1]
    assert (baseline.run, candidate.run) == ("later", "later")
    assert (baseline.case, candidate.case) == (ONNXRUNTIME, OPENVINO)
    assert sides.left_out(found) == ["left out: turns of 2026-01-02: later ones count"]
    assert sides.pairs_in_evidence(replace(HERE, candidate=ASCEND), entries) == []


@pytest.mark.parametrize(
    ("figured", "effort", "why"),
    [(True, "quick", "a quick look"), (False, "signoff", "cut off before it had a figure")],
)
def test_turns_for_a_signature_are_not_displaced_by_a_later_look_or_a_run_cut_off(figured, effort, why):
    def run(day: str, effort: str, figured: bool) -> list[Entry]:
        arms = records.turns([(20.0, 22.0)] * 5, ONNXRUNTIME, OPENVINO, day=day, effort=effort)
        figures = [
            records.measurement(9.0, case=arm[0].case, metric="latency", unit="ms", samples={}, details=arm[0].details)
            for arm in arms
            if figured
        ]
        return evidence(day, *arms[0], *arms[1], *figures)

    found = sides.pairs_in_evidence(HERE, [*run("2026-01-03", effort, figured), *run("2026-01-02", "signoff", True)])
    assert [pair[0].run for pair in found] == ["2026-01-03", "2026-01-02"]
    assert sides.left_out(found) == [f"left out: turns of 2026-01-03: {why}"]


def test_an_arm_whose_partner_is_missing_is_no_pair():
    (baseline, _) = records.turns([(20.0, 22.0)], ONNXRUNTIME, OPENVINO)
    assert sides.pairs_in_evidence(HERE, evidence("one", *baseline)) == []


# --- turns -----------------------------------------------------------------------------------------------------------


def test_two_that_run_here_and_are_in_no_evidence_take_turns():
    assert sides.takes_turns(HERE, [], all_runs)
    assert not sides.takes_turns(HERE, [], nothing_runs)
    assert not sides.takes_turns(HERE, evidence("one", *records.rounds([20.0], OPENVINO)), all_runs)


def test_a_tool_that_times_itself_takes_no_turns():
    assert not sides.takes_turns(ACROSS, [], all_runs)


def test_a_rule_about_offline_throughput_is_not_for_turns():
    offline = replace(HERE, rule=replace(CPU, figure="throughput"))
    assert not sides.takes_turns(offline, [], all_runs)
    assert sides.takes_turns(replace(offline, rule=replace(offline.rule, otherwise="latency")), [], all_runs)


# --- which campaigns belong together ---------------------------------------------------------------------------------


def host(**facts) -> dict[str, dict[str, object]]:
    names = ("machine", "cpu", "cores", "affinity", "numa_nodes", "governor", "smt", "cgroup_cpus", "memory_bytes")
    return {"stable": {**dict.fromkeys(names, "x"), **facts}}


def on(day: str, run: str = "one", **changes):
    made = records.campaign([22.0], ASCEND, run=run, day=day)
    return replace(made, **{"environment": host(), **changes})


def of_engine(campaign, sha256: str):
    return replace(campaign, rounds=tuple(replace(each, engine=sha256) for each in campaign.rounds))


def test_nothing_fits_nothing():
    assert fitting([]) == ([], [])


def test_campaigns_of_different_days_count_together_the_oldest_first():
    kept, left = fitting([on("2026-01-03", "b"), on("2026-01-02", "a")])
    assert ([each.run for each in kept], left) == (["a", "b"], [])


def test_of_two_on_one_day_the_later_counts():
    early, late = on("2026-01-02", "early"), on("2026-01-02", "late")
    late = replace(late, rounds=tuple(replace(each, started="2026-01-02T23:00:00") for each in late.rounds))
    kept, left = fitting([late, early])
    assert ([each.run for each in kept], left) == (["late"], ["an earlier campaign of 2026-01-02: one a day counts"])


def test_those_of_another_engine_or_host_are_left_out_and_said():
    latest = on("2026-01-04", "latest", environment=host())
    other_engine = of_engine(on("2026-01-02", "a", environment=host()), "cd" * 32)
    other_host = on("2026-01-03", "b", environment=host(cpu="y"))
    kept, left = fitting([other_host, latest, other_engine])
    assert kept == [latest]
    assert left == [
        "a campaign of 2026-01-02: of another engine, cdcdcdcd",
        "a campaign of 2026-01-03: on another host",
    ]


def test_hosts_that_are_not_known_are_not_one_host():
    unknown = [on(f"2026-01-0{day}", f"{day}", environment={}) for day in (2, 3)]
    assert fitting(unknown) == (unknown[1:], ["a campaign of 2026-01-02: on another host"])


def test_a_log_does_not_stand_in_the_way_of_what_was_measured():
    imported = replace(on("2026-01-03", "log"), rounds=())
    log = records.measurement(22.0, source="imported", engine={}, taken="2026-01-03")
    imported = replace(imported, figures={"throughput": log})
    kept, left = fitting([on("2026-01-02"), imported])
    assert ([each.run for each in kept], left) == (
        ["one"],
        ["a campaign of 2026-01-03: imported, which nobody repeated"],
    )


def test_logs_of_engines_that_nobody_knows_repeat_nothing():
    logs = [
        replace(
            on(f"2026-01-0{day}", f"{day}"),
            rounds=(),
            figures={"throughput": records.measurement(22.0, source="imported", engine={}, taken=f"2026-01-0{day}")},
        )
        for day in (2, 3, 4)
    ]
    kept, left = fitting(logs)
    assert [each.run for each in kept] == ["4"]
    assert left == [f"a campaign of 2026-01-0{day}: of another engine, unknown" for day in (2, 3)]


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ({"mode": "whole data set"}, "in another mode, whole data set"),
        ({"card_round": "0"}, "of a card, not of a device"),
        ({"before": {"name": "Tesla L4"}}, "on another host"),
    ],
)
def test_what_was_measured_in_another_way_or_on_another_device_is_no_repetition(details, why):
    other = replace(records.campaign([22.0], ASCEND, run="other", day="2026-01-02", **details), environment=host())
    other = replace(other, rounds=tuple(replace(each, device="npu0") for each in other.rounds))
    latest = on("2026-01-03", "latest")
    latest = replace(latest, rounds=tuple(replace(each, device="npu0") for each in latest.rounds))
    assert fitting([other, latest]) == ([latest], [f"a campaign of 2026-01-02: {why}"])


def test_what_was_cut_off_does_not_stand_in_the_way_of_a_whole_campaign():
    whole, cut = on("2026-01-02", "whole"), on("2026-01-03", "cut", figures={})
    kept, left = fitting([whole, cut])
    assert kept == [whole]
    assert left == ["a campaign of 2026-01-03: cut off before it had a figure"]
    assert fitting([cut]) == ([cut], [])


def test_a_quick_look_does_not_stand_in_the_way_of_a_campaign_for_a_signature():
    quick = records.campaign([22.0], ASCEND, run="quick", day="2026-01-03", effort="quick")
    kept, left = fitting([on("2026-01-02"), quick])
    assert [each.run for each in kept] == ["one"]
    assert left == ["a campaign of 2026-01-03: a quick look"]
    assert fitting([quick])[0] == [quick]


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_in_which_files_are_given_does_not_matter(order):
    found = [on(f"2026-01-0{day}", f"{day}") for day in (2, 3, 4)]
    assert fitting(found[::order])[0] == found
