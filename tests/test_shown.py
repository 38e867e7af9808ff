from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.campaigns import Campaign, campaigns
from bench.likeness import axes, shown
from bench.likeness.shown import Shown, Unshown
from fixtures.case import Case
from reports.entry import Entry
from reports.measurement import Measurement
from reports.round import Round
from reports.verdict import Verdict

TIMED, WHOLE = "aa" * 32, "bb" * 32
RECIPE = {
    "compiler": "tensorrt",
    "target": {"compute_capability": "7.5"},
    "precision": "fp16",
    "options": {"workspace_mb": 2048},
    "checkpoint": "1b" * 32,
}


def case(backend: str = "t4", size: int = 480, **changes: Any) -> Case:
    known = {"profile": "official", "model": "edsr", "size": size, "batch": 1, "backend": backend}
    return Case(**{**known, "shows_size": size == 256, **changes})


def engine(sha256: str, **recipe: Any) -> dict[str, Any]:
    return {"sha256": sha256, "origin": "built", "recipe": {**RECIPE, **recipe}}


def judged(
    of: Case, sha256: str, rule: str, status: str = "passed", day: int = 1, recipe: dict[str, Any] | None = None
) -> list[Entry]:
    """Return a figure of an engine and what was decided about it."""
    found = Measurement(of, "psnr", 34.6, "dB", engine=engine(sha256, **recipe or {}), taken=f"2026-11-{day:02}")
    told = Verdict(of, rule, "gate", status, "psnr", "dB", "as it came out", measurements=(found.id,))
    return [Entry("judged", found), Entry("judged", told)]


def timed(of: Case, sha256: str = TIMED, **details: Any) -> Campaign:
    taken = Round(of, sha256, (7,), (), 1, "gpu0", 1, "2026-11-10", details=details)
    figure = Measurement(of, "device_compute", 11.0, "ms", engine=engine(sha256))
    (found,) = campaigns([Entry("timed", taken), Entry("timed", figure)], of)
    return found


def test_a_passed_accuracy_verdict_of_the_timed_digest_shows_it():
    found = shown.shown(judged(case(), TIMED, "accuracy"), timed(case()))
    assert found == Shown("accuracy passed for engine aaaaaaaa")


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="nothing was judged"),
        pytest.param(judged(case(), WHOLE, "accuracy"), id="another digest"),
        pytest.param(judged(case(), TIMED, "parity"), id="parity only"),
        pytest.param(judged(case(), TIMED, "accuracy", "refused"), id="refused"),
        pytest.param(judged(case(), TIMED, "accuracy", "undecided"), id="undecided"),
        pytest.param(judged(case(profile="sample"), TIMED, "accuracy"), id="another profile"),
        pytest.param(judged(case(), TIMED, "accuracy")[1:], id="its measurement is not there"),
        pytest.param(judged(case(), TIMED, "no_slower_than_accepted"), id="a verdict of speed"),
    ],
)
def test_anything_less_does_not(entries):
    found = shown.shown(entries, timed(case()))
    assert isinstance(found, Unshown)
    assert found.why == "no passed accuracy verdict of engine aaaaaaaa is in the evidence"
    assert found.next_step == (
        "run pytest -m 'accuracy or perf' --profile official --model edsr --backend t4 and give its evidence"
    )


def test_a_later_failure_wins_wherever_it_stands_in_the_evidence():
    entries = [*judged(case(), TIMED, "accuracy", "failed", day=2), *judged(case(), TIMED, "accuracy", day=1)]
    found = shown.shown(entries, timed(case()))
    assert isinstance(found, Unshown)
    assert found.why == "accuracy of engine aaaaaaaa failed: as it came out"


def test_only_what_was_not_shown_can_be_allowed():
    (failed, absent) = (
        shown.axis(timed(case()), shown.shown(entries, timed(case())), "baseline")
        for entries in (judged(case(), TIMED, "accuracy", "failed"), [])
    )
    reason = {"accuracy": "in a hurry"}
    assert axes.refusals([failed], reason) == ([failed], {})
    assert axes.refusals([absent], reason) == ([], reason)


def test_a_later_pass_wins_over_an_earlier_failure():
    entries = [*judged(case(), TIMED, "accuracy", day=2), *judged(case(), TIMED, "accuracy", "failed", day=1)]
    assert isinstance(shown.shown(entries, timed(case())), Shown)


def test_one_measurement_that_passed_and_failed_has_failed():
    entries = [*judged(case(), TIMED, "accuracy", "failed"), *judged(case(), TIMED, "accuracy")]
    assert isinstance(shown.shown(entries, timed(case())), Unshown)


def test_the_verdict_of_another_runner_of_the_same_digest_counts():
    found = shown.shown(judged(case("t4"), TIMED, "accuracy"), timed(case("t4_trtexec")))
    assert isinstance(found, Shown)


CROPS = judged(case(size=256), TIMED, "parity")
FULL = judged(case(size=1020), WHOLE, "accuracy")


@pytest.mark.parametrize("backend", ["t4", "t4_trtexec"])
def test_off_the_accuracy_size_it_takes_parity_there_and_accuracy_of_a_sister_engine(backend):
    found = shown.shown([*CROPS, *FULL], timed(case(backend, size=256)))
    assert found == Shown("parity passed for engine aaaaaaaa at 256, accuracy for engine bbbbbbbb at 1020")


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        pytest.param(FULL, "no passed parity verdict of engine aaaaaaaa", id="no parity"),
        pytest.param(
            [*CROPS, *judged(case(size=256), WHOLE, "accuracy")], "no accuracy verdict", id="accuracy on crops"
        ),
        pytest.param(CROPS, "parity passed for engine aaaaaaaa, but no accuracy verdict of edsr", id="no accuracy"),
        pytest.param(
            [*CROPS, *judged(case(size=1020, batch=4), WHOLE, "accuracy")], "at batch 1 and its own", id="another batch"
        ),
        pytest.param(
            [*CROPS, *judged(case(size=1020), WHOLE, "accuracy", recipe={"precision": "fp32"})],
            "no accuracy verdict",
            id="another precision",
        ),
        pytest.param(
            [*CROPS, *judged(case(size=1020), WHOLE, "accuracy", recipe={"checkpoint": "00" * 32})],
            "no accuracy verdict",
            id="other weights",
        ),
        pytest.param(
            [*CROPS, *judged(case("ascend310", size=1020), WHOLE, "accuracy", recipe={"compiler": "ascend"})],
            "no accuracy verdict",
            id="another compiler",
        ),
        pytest.param(
            [*CROPS, *judged(case(size=1020), WHOLE, "accuracy", "failed")],
            "accuracy of its sister engine bbbbbbbb failed",
            id="accuracy failed",
        ),
        pytest.param(
            [*judged(case(size=256), TIMED, "parity", "failed"), *FULL], "parity of engine aaaaaaaa failed", id="failed"
        ),
    ],
)
def test_off_the_accuracy_size_anything_less_does_not(entries, why):
    found = shown.shown(entries, timed(case(size=256)))
    assert isinstance(found, Unshown)
    assert why in found.why


CHECKED = {"tool": {"tool": "trtexec"}, "checked_calls": 1, "largest_relative_error": 2e-4}


@pytest.mark.parametrize("size", [480, 256])
def test_the_outputs_of_trtexec_stand_for_a_verdict_where_there_is_none(size):
    found = shown.shown([], timed(case("t4_trtexec", size), **CHECKED))
    assert found == Shown(
        "outputs checked: those of the timed calls are within 0.0002 of the accuracy path's, no verdict"
    )


@pytest.mark.parametrize(
    "details",
    [
        {**CHECKED, "checked_calls": 0},
        {**CHECKED, "largest_relative_error": 2e-3},
        {**CHECKED, "largest_relative_error": float("nan")},
        {"tool": {"tool": "trtexec"}, "checked_calls": 1},
        {**CHECKED, "tool": {"tool": "ais_bench 0.0.2"}},
        {"checked_calls": 9, "largest_relative_error": 0.0},
    ],
)
def test_outputs_that_were_not_checked_or_not_by_trtexec_do_not(details):
    assert isinstance(shown.shown([], timed(case("t4_trtexec"), **details)), Unshown)


@pytest.mark.parametrize("size", [480, 256])
def test_outputs_that_agree_do_not_help_an_engine_that_failed(size):
    rule = "parity" if size == 256 else "accuracy"
    entries = judged(case(size=size), TIMED, rule, "failed")
    assert isinstance(shown.shown(entries, timed(case("t4_trtexec", size), **CHECKED)), Unshown)


@pytest.mark.parametrize("source", ["imported", "published"])
def test_a_figure_without_an_engine_is_refused_as_accuracy_unless_allowed(source):
    details = {"log": {"sha256": "99" * 32}}
    (log,) = campaigns(
        [Entry("r", Measurement(case(), "throughput", 9.0, "images/s", source, details=details))], case()
    )
    found = shown.shown(judged(case(), TIMED, "accuracy"), log)
    assert isinstance(found, Unshown)
    refusal = shown.axis(log, found, "baseline")
    assert refusal.told.startswith(
        f"accuracy: edsr-bs1-t4: accuracy not shown: which engine was timed is not known ({source}); run pytest"
    )
    assert axes.refusals([refusal], {}) == ([refusal], {})
    assert axes.refusals([refusal], {"accuracy": "as the guide says"}) == ([], {"accuracy": "as the guide says"})


def test_nothing_ties_a_supplied_engine_to_one_of_another_size():
    plain = {"sha256": TIMED, "origin": "supplied", "recipe": {"supplied": "my.plan"}}
    campaign = timed(case(size=256))
    supplied = replace(campaign, figures={name: replace(m, engine=plain) for name, m in campaign.figures.items()})
    whole = judged(case(size=1020), WHOLE, "accuracy", recipe=dict.fromkeys(RECIPE))
    found = shown.shown([*CROPS, *whole], supplied)
    assert isinstance(found, Unshown)
    assert "no accuracy verdict" in found.why
