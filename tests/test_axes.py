from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.campaigns import Campaign, campaigns
from bench.likeness import axes, identity
from bench.likeness.axis import AXES
from bench.rule import ACCEPTED, ANY, Rule, Side
from bench.rules.ascend310_over_t4 import RULE as OVER_T4
from bench.rules.ascend310p_over_ascend310 import RULE as TUNED
from bench.rules.openvino_over_onnxruntime import RULE as ON_ONE_HOST
from fixtures.case import Case
from fixtures.errors import SetupError
from reports.entry import Entry
from reports.host_key import HARDWARE
from reports.measurement import Measurement
from reports.round import Round
from reports.run import Run

FED = "cd" * 32 + "@256x8"
ANYTHING = Rule("r", "no slower", Side(ANY), Side(ACCEPTED), 0.98, statistics=("median",))


def recipe(**changes: Any) -> dict[str, Any]:
    common = {"model": "edsr", "size": 256, "batch": 1, "precision": "fp16", "code": "c0", "options": {}}
    return {**common, "checkpoint": "1b" * 32, "network": "e9" * 32, **changes}


ASCEND = recipe(
    compiler="ascend",
    options={"precision_mode": "force_fp16"},
    target={"soc_version": "Ascend310"},
    toolchain={"toolkit": "8.0"},
    graph="aa" * 32,  # what torch 2.6 wrote
)
TENSORRT = recipe(
    compiler="tensorrt",
    options={"workspace_mb": 2048},
    target={"compute_capability": "7.5"},
    toolchain={"tensorrt": "11.0", "fp16_route": "graph", "onnx": "1.23"},
    graph="bb" * 32,  # what torch 2.13 wrote, converted to fp16 on the way
)


def taken(case: Case, engine: str, number: int, day: int, details: dict[str, Any]) -> Round:
    common = {"effort": "signoff", "mode": "pure inference", "data": FED, "timed_section": "host wall"}
    return Round(
        case,
        engine,
        (1000 + number, 1010 + number),
        (),
        case.batch,
        details["before"]["id"],
        number,
        f"2026-11-{day:02}T03:0{number}:00+00:00",
        details={
            **common,
            "device_ms": [11.0, 11.1],
            "window": {"calls": 9, "images": 9, "ns": 10**8, "depth": 2},
            "noise": {"c0": 0.02, "why": "locked clocks"},
            **deepcopy(details),
        },
    )


def side(backend: str, host: str, built: dict[str, Any], day: int, details: dict[str, Any]) -> list[Entry]:
    """Return what one host hands to another: its run, its rounds, its figures."""
    case, engine = Case("official", "edsr", 256, 1, backend, shows_size=True), f"{day:02}" * 32
    rounds = [taken(case, engine, number, day, details) for number in range(5)]
    environment = {
        "stable": {"os": f"Linux of {host}", "cpu": "a processor"},
        "recorded": {"host": host},
        "harness": {"revision": "ab" * 20, "clean": True},
    }
    told: dict[str, Any] = {
        "engine": {"sha256": engine, "origin": "built", "recipe": deepcopy(built)},
        "data": {"dataset": "div2k", "digest": FED, "images": 8, "of": 8, "own": True, "described": "8 crops"},
    }
    figures = [
        Measurement(case, "device_compute", 11.0, "ms", details={"per": "batch"}, **told),
        Measurement(case, "throughput", 90.0, "images/s", details={"per": "device"}, **told),
    ]
    return [Entry(host, record) for record in (Run(("pytest",), environment), *rounds, *figures)]


def of(entries: list[Entry], backend: str) -> Campaign:
    (found,) = campaigns(entries, Case("official", "edsr", 256, 1, backend))
    return found


def npu(backend: str = "ascend310", **changes: Any) -> Campaign:
    details = {"versions": {"toolkit": "8.0", "driver": "25"}, "before": {"id": "npu0", "name": "310"}}
    return of(side(backend, "npu-host", {**ASCEND, **changes}, 12, details), backend)


def gpu() -> Campaign:
    """Return trtexec's rounds: device times only, and no copies in the window."""
    details = {
        "versions": {"trtexec": "11.0.0", "driver": "580", "cuda_graph": "off"},
        "before": {"id": "gpu0", "name": "Tesla T4"},
        "timed_section": "device compute",
        "tool": {"tool": "trtexec"},
        "window": {"calls": 9, "images": 9, "ns": 10**8, "depth": 2, "transfers": False},
    }
    return of(side("t4_trtexec", "t4-host", TENSORRT, 13, details), "t4_trtexec")


def with_rounds(campaign: Campaign, flags: tuple[str, ...] = (), **details: Any) -> Campaign:
    """Change every round; a detail of None is left out."""
    changed = [
        replace(
            each,
            flags=flags or each.flags,
            details={name: value for name, value in {**each.details, **details}.items() if value is not None},
        )
        for each in campaign.rounds
    ]
    return replace(campaign, rounds=tuple(changed))


def with_recipe(campaign: Campaign, **changes: Any) -> Campaign:
    built = {
        name: value for name, value in {**campaign.engine.get("recipe", {}), **changes}.items() if value is not None
    }
    return with_figures(campaign, engine={**campaign.engine, "recipe": built})


def with_figures(campaign: Campaign, **changes: Any) -> Campaign:
    return replace(campaign, figures={name: replace(m, **changes) for name, m in campaign.figures.items()})


def with_harness(campaign: Campaign, **harness: Any) -> Campaign:
    return replace(campaign, environment={**campaign.environment, "harness": harness})


def with_case(campaign: Campaign, **changes: Any) -> Campaign:
    return replace(campaign, case=replace(campaign.case, **changes))


def log(backend: str, **details: Any) -> Campaign:
    """Return an imported log of trtexec."""
    case = Case("official", "edsr", 256, 1, backend, shows_size=True)
    told = {
        "log": {"name": "t4.log", "sha256": "99" * 32},
        "tool": "trtexec",
        "version": "7.2.3",
        "flags": ["shape_not_told", "batch_not_told", "precision_not_told"],
        "per": "device",
        "timed_section": "device compute",
        "cuda_graph": None,
        "statistic": "mean",
        "statistics_ms": {"mean": 11.7, "median": 11.6},
        **details,
    }
    entry = Entry("imported", Measurement(case, "device_compute", 11.7, "ms", "imported", details=told))
    return of([entry], backend)


def names(rule: Rule, candidate: Campaign, baseline: Campaign, figure: str = "device_compute") -> list[str]:
    return [axis.name for axis in axes.differences(rule, candidate, baseline, figure)]


def test_two_exporters_and_a_converted_graph_on_one_side_need_no_allow():
    candidate, baseline = npu(), gpu()
    assert candidate.engine["recipe"]["graph"] != baseline.engine["recipe"]["graph"]
    assert names(OVER_T4, candidate, baseline) == []
    facts = [axes.facts(each, "device_compute") for each in (candidate, baseline)]
    assert [each["precision"] for each in facts] == ["fp16 precision_mode force_fp16", "fp16 by a converted graph"]
    assert facts[0]["versions"] == "toolkit 8.0, driver 25"
    assert facts[0]["harness"] == "abababababababab"
    assert all("not told" not in value for name, value in facts[1].items() if name != "different_inputs")


def test_a_tuned_engine_over_an_untuned_one_is_declared_by_its_rule():
    tuned = npu("ascend310p_aoe", options={"tuner": "aoe", "job_type": 1})
    tuned = replace(tuned, run="310p-host", rounds=tuple(replace(each, seed=each.seed + 9) for each in tuned.rounds))
    assert names(TUNED, tuned, npu()) == []
    assert "tuning" in names(TUNED, with_recipe(tuned, options={}), npu())


def test_each_of_two_tuned_engines_is_held_against_what_its_backend_declares():
    both = [with_recipe(each, options={"tuner": "aoe"}) for each in (npu(), gpu())]
    assert names(OVER_T4, *both) == ["tuning"]


def of_card(campaign: Campaign, devices: int) -> Campaign:
    """Return it as rounds of several devices at once."""
    rounds = [
        replace(each, device=f"d{n}", samples_ns=(n + 1,), details={**each.details, "card_round": each.started})
        for each in campaign.rounds
        for n in range(devices)
    ]
    figures = {"throughput": replace(campaign.figures["throughput"], details={"per": "card"})}
    return replace(campaign, rounds=tuple(rounds), figures=figures)


WINDOW = {"calls": 9, "images": 9, "ns": 10**8}
OF_COMPUTE = {
    "model": with_recipe(gpu(), checkpoint="00" * 32),
    "size": with_case(with_recipe(gpu(), size=480), size=480),
    "batch": replace(
        with_case(with_recipe(gpu(), batch=4), batch=4), rounds=tuple(replace(r, batch=4) for r in gpu().rounds)
    ),
    "precision": with_recipe(gpu(), precision="fp32"),
    "data": with_rounds(
        with_figures(gpu(), data={"dataset": "div2k", "digest": "00" * 32}),
        data="00" * 32,
    ),
    "mode": with_rounds(gpu(), mode="whole data set"),
    "statistic": with_rounds(gpu(), flags=("no_samples",)),
    "tuning": with_recipe(gpu(), options={"tuner": "aoe"}),
    "devices": of_card(gpu(), 1),
    "graph": with_rounds(gpu(), versions={"trtexec": "11.0.0"}),
    "protocol": with_rounds(gpu(), effort=None),
    "revision": with_harness(gpu(), revision="ab" * 20, clean=False),
    "exclusivity": with_rounds(gpu(), flags=("exclusivity_unknown",)),
    "guards": with_rounds(gpu(), flags=("slowed",)),
    "rounds": replace(gpu(), rounds=gpu().rounds[:4]),
    "versions": with_rounds(gpu(), before={"id": "gpu0"}),
    "device": with_case(gpu(), backend="t4_rtx"),
}


@pytest.mark.parametrize("name", OF_COMPUTE)
def test_an_axis_that_differs_refuses_and_is_let_through_with_a_reason(name):
    found = axes.differences(OVER_T4, npu(), OF_COMPUTE[name], "device_compute")
    assert [axis.name for axis in found] == [name]
    refused, through = axes.refusals(found, {})
    assert ([axis.name for axis in refused], through) == ([name], {})
    assert refused[0].told.startswith(f"{name}: ")
    assert axes.refusals(found, {name: "agreed with the customer"}) == ([], {name: "agreed with the customer"})


@pytest.mark.parametrize(
    ("name", "baseline"),
    [
        pytest.param("section", gpu(), id="section"),  # without copies, against a window with them
        pytest.param("depth", with_rounds(gpu(), window={**WINDOW, "depth": 8}), id="depth"),
        pytest.param("depth", with_rounds(gpu(), window=WINDOW), id="depth-untold"),
    ],
)
def test_an_axis_of_the_offline_window_refuses_throughput_and_nothing_else(name, baseline):
    found = axes.differences(OVER_T4, npu(), baseline, "throughput")
    assert [axis.name for axis in found] == [name]
    assert axes.refusals(found, {name: "why"}) == ([], {name: "why"})
    assert name not in names(OVER_T4, npu(), baseline)


def test_a_figure_that_a_side_does_not_tell_refuses_by_section_and_statistic():
    assert names(OVER_T4, npu(), gpu(), "latency") == ["section", "statistic"]


def test_a_cuda_graph_against_none_refuses_between_gpus():
    on = with_rounds(gpu(), versions={"trtexec": "11.0.0", "cuda_graph": "on"})
    on = replace(on, run="another", rounds=tuple(replace(each, seed=99) for each in on.rounds))
    assert names(ANYTHING, on, gpu()) == ["graph"]


@pytest.mark.parametrize("how", ["name", "source", "recipe"])
def test_a_stand_in_is_never_a_device_whatever_is_allowed(how):
    candidate = {
        "name": with_case(npu(), backend="ascend310~emulated"),
        "source": with_figures(npu(), source="emulated"),
        "recipe": with_recipe(npu(), emulated=True),
    }[how]
    refused, through = axes.refusals(
        axes.differences(OVER_T4, candidate, gpu(), "device_compute"), {"device": "just this once"}
    )
    assert [axis.name for axis in refused] == ["device"]
    assert through == {}
    assert "ascend310~emulated is a stand-in, and never a device; --allow does not let it through" in refused[0].told


def test_two_stand_ins_are_no_devices_to_the_nightly_gate():
    one = with_case(npu(), backend="ascend310~emulated")
    other = replace(one, run="last night", rounds=tuple(replace(each, seed=99) for each in one.rounds))
    assert names(ANYTHING, one, with_figures(other, taken="2026-11-01")) == ["device"]


def test_another_gpu_of_the_same_capability_is_no_t4():
    other = with_rounds(gpu(), before={"id": "gpu0", "name": "NVIDIA GeForce GTX 1650"})
    (found,) = axes.differences(OVER_T4, npu(), other, "device_compute")
    assert found.told == "device: baseline: it ran on NVIDIA GeForce GTX 1650, and the rule is about a T4"
    assert names(OVER_T4, npu(), log("t4_trtexec", facts={"device": "NVIDIA GeForce GTX 1650"}))[-1] == "device"


@pytest.mark.parametrize(("cores", "run", "refused"), [(2, "b", []), (64, "b", ["device"]), (64, "a", [])])
def test_a_rule_about_one_host_refuses_two_that_did_not_take_turns(cores, run, refused):
    one, other = (
        replace(
            with_case(npu(), backend=backend),
            run=run,
            environment={"stable": {**dict.fromkeys(HARDWARE, "x"), "cores": cores}},
        )
        for backend, run, cores in (("openvino", "a", 2), ("onnxruntime", run, cores))
    )
    assert [name for name in names(ON_ONE_HOST, one, other, "latency") if name == "device"] == refused
    if refused:
        found = axes.differences(ON_ONE_HOST, one, other, "latency")
        assert "device: the rule is about one host, and these are two: cores 64 -> 2" in [axis.told for axis in found]


@pytest.mark.parametrize(
    ("count", "details", "refused"),
    [
        (5, {}, ["rounds"]),
        (8, {}, []),
        (5, {"effort": "quick"}, []),  # it decides nothing anyway
        (5, {"pair": {"id": "p", "arm": 1}}, []),  # pairs are looked at later
    ],
)
def test_rounds_that_were_not_steady_need_more_of_them(count, details, refused):
    one = with_rounds(gpu(), flags=("not_steady",), **details)
    more = tuple(replace(each, seed=90 + number) for number, each in enumerate(one.rounds[:3]))
    baseline = replace(one, rounds=(*one.rounds, *more)[:count])
    assert [name for name in names(OVER_T4, npu(), baseline) if name == "rounds"] == refused


def test_two_backends_are_not_one_to_the_nightly_gate():
    assert "device" in names(ANYTHING, npu(), with_case(npu(), backend="ascend310p"))


@pytest.mark.parametrize(
    "baseline",
    [
        pytest.param(npu(), id="itself"),
        pytest.param(replace(npu(), run="copied"), id="copied"),
        pytest.param(replace(npu(), rounds=tuple(replace(r, seed=9) for r in npu().rounds)), id="same run and engine"),
    ],
)
def test_a_measurement_compared_with_itself_is_refused_whatever_is_allowed(baseline):
    refused, _ = axes.refusals(axes.differences(ANYTHING, npu(), baseline, "device_compute"), {"self": "why not"})
    assert [axis.name for axis in refused] == ["self"]


def test_rounds_under_another_name_are_still_the_same_rounds():
    relabelled = replace(with_case(npu(), backend="t4_trtexec"), run="another")
    assert "self" in names(OVER_T4, npu(), relabelled)


def test_a_log_imported_twice_is_itself():
    once, again = log("t4_trtexec"), log("t4_trtexec")
    again = replace(with_figures(again, taken="2026-01-01"), run="another")
    assert "self" in names(ANYTHING, once, again)


def test_the_arms_of_a_pair_are_two_measurements_of_one_engine():
    arms = [
        with_rounds(npu(), pair={"id": "p", "arm": arm, "first": "0", "calls_per_sample": 1, "other": ""})
        for arm in (0, 1)
    ]
    arms[1] = replace(arms[1], rounds=tuple(replace(r, samples_ns=(5, 6)) for r in arms[1].rounds))
    arms = [with_figures(arm, taken=f"2026-11-0{number + 1}") for number, arm in enumerate(arms)]
    assert names(ANYTHING, arms[1], arms[0]) == []


@pytest.mark.parametrize("flag", ["host_busy", "starved", "anchor_moved"])
def test_what_both_arms_of_a_pair_have_alike_speaks_only_against_campaigns(flag):
    busy = with_rounds(npu(), flags=(flag,))
    assert names(OVER_T4, busy, gpu()) == ["guards"]
    paired = with_rounds(busy, pair={"id": "p", "arm": 1})
    assert "guards" not in names(OVER_T4, paired, gpu())


@pytest.mark.parametrize("flag", ["slowed", "clock_moved", "device_used_by_others", "device_unhealthy"])
def test_what_befell_a_device_speaks_against_a_pair_too(flag):
    paired = with_rounds(npu(), flags=(flag,), pair={"id": "p", "arm": 1})
    (found,) = axes.differences(OVER_T4, paired, gpu(), "device_compute")
    assert found.why == f"candidate: {flag.replace('_', ' ')} in 5 of 5 rounds"


def test_a_log_of_a_tool_is_refused_axis_by_axis_until_each_is_allowed():
    found = axes.differences(OVER_T4, npu(), log("t4_trtexec"), "device_compute")
    missing = ["model", "size", "batch", "precision", "data", "tuning", "graph", "protocol", "exclusivity", "versions"]
    assert [axis.name for axis in found] == missing
    allowed = dict.fromkeys(missing, "the command in the guide says so")
    refused, through = axes.refusals(found, {**allowed, "depth": "not needed"})
    assert (refused, sorted(through)) == ([], sorted(missing))


def test_what_a_log_lacks_is_said_once_with_every_axis_that_would_open_it():
    found = axes.differences(OVER_T4, npu(), log("t4_trtexec"), "device_compute")
    told = axes.clauses(found)
    assert told[0] == (
        "baseline: an imported log: no engine, no data, no rounds "
        "(model, precision, data, tuning, protocol, exclusivity)"
    )
    assert told[1:] == [axis.told for axis in found if axis.name in ("size", "batch", "graph", "versions")]


def test_causes_that_two_sides_share_in_part_are_told_per_side():
    sides = (("candidate", "a"), ("baseline", "b"))
    made = [
        axes.Axis("model", "", "", "candidate: a; baseline: b", by_side=sides),
        axes.Axis("data", "", "", "candidate: a", by_side=sides[:1]),
        axes.Axis("device", "", "", "candidate: a", allowable=False, by_side=sides[:1]),
        axes.Axis("mode", "", "", "candidate x, baseline y"),
    ]
    assert axes.clauses(made) == [
        "candidate: a (model, data)",
        "model: baseline: b",
        "device: candidate: a; --allow does not let it through",
        "mode: candidate x, baseline y",
    ]
    assert axes.clauses(made[:1]) == [made[0].told]


@pytest.mark.parametrize(
    ("flags", "count", "said"),
    [(("slowed",), 1, "slowed in 1 of 1 round"), ((), 1, "1 round, at least 5"), ((), 2, "2 rounds, at least 5")],
)
def test_one_round_is_a_round(flags, count, said):
    baseline = with_rounds(replace(gpu(), rounds=gpu().rounds[:count]), flags=flags)
    found = axes.differences(OVER_T4, npu(), baseline, "device_compute")
    assert any(said in axis.why for axis in found)


def test_a_log_that_contradicts_itself_is_refused_as_guards():
    wrong = log("t4_trtexec", flags=["times_disagree", "gpu_compute_min_above_max", "zero_qps"])
    (found,) = (a for a in axes.differences(OVER_T4, npu(), wrong, "device_compute") if a.name == "guards")
    assert found.why == "baseline: times disagree, gpu compute min above max"


def test_a_rate_by_the_mean_is_unlike_one_by_the_median():
    case, other = Case("official", "enet", 480, 1, "ascend310"), Case("official", "enet", 480, 1, "t4_trtexec")
    sides = [of_published(each, statistic) for each, statistic in ((case, "mean of 20 rounds"), (other, "median"))]
    found = {axis.name: axis for axis in axes.differences(OVER_T4, *sides, "throughput")}
    assert found["statistic"].why == "candidate mean of 20 rounds, baseline median"
    assert "tuning" not in found


def of_published(case: Case, statistic: str) -> Campaign:
    details = {"per": "device", "row": case.id, "tool": "a tool", "tuning": "none", "statistic": statistic}
    (found,) = campaigns(
        [Entry("p", Measurement(case, "throughput", 9.0, "images/s", "published", details=details))], case
    )
    return found


def test_nothing_is_extrapolated_to_a_card_whose_other_devices_were_in_use():
    assert names(OVER_T4, with_rounds(npu(), flags=("siblings_in_use",)), gpu()) == ["devices"]


def test_a_card_at_once_stands_for_a_card_when_it_is_whole():
    whole = of_card(npu(), 4)
    assert names(OVER_T4, whole, gpu()) == []
    assert identity.devices(whole, OVER_T4.candidate) == "card of 4 devices"
    assert names(OVER_T4, of_card(npu(), 3), gpu()) == ["devices"]
    (found,) = axes.differences(OVER_T4, replace(whole, rounds=whole.rounds[1:]), gpu(), "device_compute")
    assert (found.name, found.why) == ("devices", "candidate: its rounds are of 3 and 4 devices")


def test_what_rounds_are_of_is_theirs_to_tell():
    said = replace(of_card(npu(), 4), figures=npu().figures)
    assert identity.devices(said, OVER_T4.candidate) == "card of 4 devices"
    both_ways = replace(npu(), rounds=(*of_card(npu(), 4).rounds, *npu().rounds))
    assert names(OVER_T4, both_ways, gpu()) == ["devices"]


def test_another_revision_is_recorded_and_does_not_refuse():
    other = with_harness(gpu(), revision="cd" * 20, clean=True)
    assert names(OVER_T4, npu(), other) == []
    assert axes.facts(other, "device_compute")["harness"] == "cd" * 8


@pytest.mark.parametrize("harness", [{}, {"revision": None, "clean": None}, {"revision": "ab", "clean": None}])
def test_an_unknown_revision_counts_as_a_different_one(harness):
    assert names(OVER_T4, npu(), with_harness(gpu(), **harness)) == ["revision"]


def test_efforts_may_differ_and_are_printed():
    quick = with_rounds(npu(), effort="quick")
    assert names(OVER_T4, quick, gpu()) == []
    assert axes.facts(quick, "device_compute")["effort"] == "quick"


def test_rounds_that_tell_different_things_tell_nothing():
    mixed = npu()
    one = replace(mixed.rounds[0], details={**mixed.rounds[0].details, "mode": "whole data set"})
    (found,) = axes.differences(OVER_T4, replace(mixed, rounds=(one, *mixed.rounds[1:])), gpu(), "device_compute")
    assert found.why == "candidate: its rounds differ in mode: whole data set, pure inference"


def test_rounds_that_were_fed_something_else_than_their_figures_say_refuse():
    assert names(OVER_T4, with_rounds(npu(), data="00" * 32), gpu()) == ["data"]


def test_an_engine_of_the_users_tells_neither_model_nor_precision():
    supplied = with_figures(npu(), engine={"sha256": "12" * 32, "origin": "supplied", "recipe": {"supplied": "my.om"}})
    found = axes.differences(OVER_T4, supplied, gpu(), "device_compute")
    assert [axis.name for axis in found] == ["model", "precision", "tuning"]
    assert "the engine is supplied and does not tell its checkpoint" in found[0].why


def test_a_fact_that_neither_side_tells_is_not_alike():
    assert names(OVER_T4, stripped(npu(), "network"), stripped(gpu(), "network")) == ["model"]


@pytest.mark.parametrize("name", ["size", "batch"])
def test_an_engine_of_another_shape_than_its_case_refuses(name):
    both = [with_recipe(each, **{name: 9}) for each in (npu(), gpu())]
    (found,) = axes.differences(OVER_T4, *both, "device_compute")
    assert found.name == name
    assert f"{name} {getattr(npu().case, name)}, its engine 9" in found.why


def test_rounds_of_another_batch_than_their_case_refuse():
    both = [replace(each, rounds=tuple(replace(r, batch=4) for r in each.rounds)) for each in (npu(), gpu())]
    (found,) = axes.differences(OVER_T4, *both, "device_compute")
    assert found.why == "candidate: its case says batch 1, its rounds 4; baseline: its case says batch 1, its rounds 4"


def test_a_published_figure_is_itself():
    figure = of_published(Case("official", "enet", 480, 1, "ascend310"), "mean")
    assert "self" in names(ANYTHING, figure, figure, "throughput")


def test_an_unknown_axis_names_the_nearest_one():
    with pytest.raises(SetupError, match="did you mean 'precision'"):
        axes.refusals([], {"precison": "because"})


def test_a_reason_must_be_given():
    with pytest.raises(SetupError, match="expected why it may differ"):
        axes.refusals([], {"model": " "})


def test_every_axis_has_a_test_of_its_own():
    assert {*OF_COMPUTE, "section", "depth", "self", "accuracy"} == set(AXES)


ROUND_KEYS = ("effort", "mode", "data", "versions", "before", "device_ms")
RECIPE_KEYS = ("checkpoint", "network", "precision", "options")


def stripped(campaign: Campaign, key: str) -> Campaign:
    if key in ROUND_KEYS or key in ("window", "timed_section"):
        return with_rounds(campaign, **{key: None})
    if key in RECIPE_KEYS:
        return with_recipe(campaign, **{key: None})
    if key in ("engine", "data_of_figure"):
        return with_figures(campaign, **{"engine" if key == "engine" else "data": {}})
    tier = {"os": "stable", "host": "recorded", "revision": "harness", "clean": "harness"}[key]
    facts = {name: value for name, value in campaign.environment[tier].items() if name != key}
    return replace(campaign, environment={**campaign.environment, tier: facts})


@pytest.mark.parametrize("which", ["candidate", "baseline"])
@pytest.mark.parametrize(
    "key", [*ROUND_KEYS, *RECIPE_KEYS, "engine", "data_of_figure", "os", "host", "revision", "clean"]
)
def test_a_fact_that_is_missing_from_either_side_never_passes(key, which):
    sides = {"candidate": npu(), "baseline": gpu()}
    sides[which] = stripped(sides[which], key)
    found = axes.differences(OVER_T4, sides["candidate"], sides["baseline"], "device_compute")
    assert found
    assert which in found[0].why


@pytest.mark.parametrize("key", ["window", "timed_section"])
def test_throughput_without_a_window_or_section_never_passes(key):
    one = npu()
    other = replace(one, run="another", rounds=tuple(replace(each, seed=99) for each in one.rounds))
    other = with_figures(other, taken="2026-11-01")
    assert names(ANYTHING, one, other, "throughput") == []
    assert names(ANYTHING, one, stripped(other, key), "throughput") != []


changes = st.lists(
    st.sampled_from(
        [
            *((lambda c, k=key: stripped(c, k)) for key in (*ROUND_KEYS, *RECIPE_KEYS, "engine", "host", "clean")),
            lambda c: with_rounds(c, flags=("slowed",)),
            lambda c: with_rounds(c, mode="whole data set"),
            lambda c: with_rounds(c, versions={"cuda_graph": "on"}),
            lambda c: with_recipe(c, precision="int8"),
            lambda c: with_case(c, backend="t4_rtx"),
            lambda c: replace(c, rounds=c.rounds[:2]),
            lambda c: replace(c, rounds=()),
        ]
    ),
    max_size=3,
)


@given(changes, changes, st.sampled_from([npu, gpu]), st.sampled_from(["device_compute", "throughput", "latency"]))
def test_what_differs_does_not_depend_on_who_is_the_candidate(first, second, make, figure):
    one, other = make(), gpu()
    for change in first:
        one = change(one)
    for change in second:
        other = change(other)
    assert names(ANYTHING, one, other, figure) == names(ANYTHING, other, one, figure)
