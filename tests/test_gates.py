from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from acceptance import gates
from acceptance.agreement import Agreement
from acceptance.basis import Basis
from acceptance.gates import Judged
from acceptance.metric import Result
from fixtures.model import Figure, Gate
from reports.entry import Entry
from reports.verdict import Verdict
from tests.records import case

RELATIVE = Gate(0.01)
REFERENCES = st.floats(1.0, 100.0)
LIMITS = st.floats(0.0, 0.5)
KINDS = st.sampled_from(["relative", "absolute"])


def result(value: float, unit: str = "dB", **more) -> Result:
    return Result(value, unit, **{"per_image": {"a.png": value}, **more})


def basis(value: float, unit: str = "dB", *unmet: str) -> Basis:
    return Basis(Figure(value, unit, "this test", "ab"), "sample reference", unmet)


def agreement(error: float | None = 0.0, *not_finite: str) -> Agreement:
    found = Agreement()
    if error is not None:
        found.update(np.full(4, 1 + error, np.float32), np.ones(4, np.float32), "a.png")
    found.not_finite += not_finite
    return found


def judged(found: float | Result | None, fp32: float | Result | None = None, unit="dB", **more) -> Judged:
    known = {
        "case": case(),
        "metric": "psnr",
        "on": "8 images of sr_photos",
        "found": result(found, unit) if isinstance(found, float) else found,
        "agreement": agreement(),
        "fp32": result(fp32, unit) if isinstance(fp32, float) else fp32,
        "fp32_by": "torch 2.13",
    }
    return Judged(**{**known, **more})


def sound(verdict: Verdict) -> Verdict:
    """Return a verdict that evidence accepts."""
    Entry("run", verdict).as_dict()
    return verdict


def accuracy(found, fp32=None, reference=34.61, gate=RELATIVE, unmet=(), **more) -> Verdict:
    unit = more.get("unit", "dB")
    return sound(gates.accuracy(judged(found, fp32, **more), gate, basis(reference, unit, *unmet)))


def parity(found, fp32, gate=RELATIVE, **more) -> Verdict:
    return sound(gates.parity(judged(found, fp32, **more), gate))


@given(REFERENCES, LIMITS, KINDS)
def test_exactly_at_the_floor_passes_and_just_below_fails(reference, limit, kind):
    gate = Gate(limit, kind)
    floor = gate.floor(reference)
    below = math.nextafter(floor, -math.inf)
    assert accuracy(floor, reference=reference, gate=gate).status == "passed"
    assert accuracy(below, reference=reference, gate=gate).status == "failed"
    assert parity(floor, reference, gate).status == "passed"
    assert parity(below, reference, gate).status == "failed"


@given(REFERENCES, LIMITS, KINDS, st.floats(0, 100))
def test_better_always_passes(reference, limit, kind, better):
    gate = Gate(limit, kind)
    assert accuracy(reference + better, reference=reference, gate=gate).passed
    assert parity(reference + better, reference, gate).passed


@given(REFERENCES, LIMITS, KINDS, st.floats(1.0, 100.0))
def test_the_margin_is_what_is_left_of_the_limit(reference, limit, kind, found):
    verdict = accuracy(found, reference=reference, gate=Gate(limit, kind))
    assert verdict.margin == verdict.observed - verdict.required
    assert verdict.passed == (verdict.margin >= 0)


@given(REFERENCES, st.floats(0.001, 0.5), st.floats(1.0, 100.0))
def test_the_shown_drop_agrees_with_the_verdict(reference, limit, found):
    gate = Gate(limit)
    drop = gate.drop(reference, found)
    assume(abs(drop - limit) > 1e-12)
    assert accuracy(found, reference=reference, gate=gate).passed == (drop < limit)


def test_an_absolute_gate_is_judged_and_told_in_its_unit():
    gate = Gate(1.0, "absolute")
    verdict = accuracy(96.8, 97.0, reference=97.8, gate=gate, unit="points", metric="top1")
    assert verdict.status == "passed"
    assert verdict.gate == "at most 1 points below the sample reference, 97.800 points"
    assert "1.000 points below the sample reference 97.800 points, 0.200 points below its own fp32" in verdict.reason
    assert verdict.details["drop_from_reference"] == "1.0000 points"
    assert accuracy(96.79, reference=97.8, gate=gate, unit="points").status == "failed"


def test_shows_both_drops_the_gates_and_the_devices():
    verdict = accuracy(34.4, 34.6)
    assert "0.607 % below the sample reference 34.610 dB, 0.578 % below its own fp32" in verdict.reason
    assert verdict.details["drop_from_reference"] == "0.6068 %"
    assert verdict.details["drop_from_fp32"] == "0.5780 % (the device's share)"
    assert verdict.details["reference_from"] == "this test"


def test_says_what_one_percent_of_the_decibels_is_of_the_squared_error():
    expected = "at most 1 % below the sample reference, 34.610 dB (1 % of it is 8.3 % of the squared error)"
    assert accuracy(34.61).gate == expected


def test_a_share_of_percents_is_not_put_into_squared_errors():
    assert "squared" not in accuracy(54.0, reference=54.627, unit="%").gate


@pytest.mark.parametrize(("found", "flagged"), [(34.95, False), (34.97, True)])
def test_flags_what_is_better_by_more_than_the_tolerance(found, flagged):
    verdict = accuracy(found, found)
    assert verdict.passed
    assert ("better than the reference by more than 1 %: find out why" in verdict.reason) == flagged


@pytest.mark.parametrize(("fp32", "said"), [(34.58, False), (34.64, False), (34.57, True), (34.65, True)])
def test_says_when_fp32_itself_does_not_reproduce_the_figure(fp32, said):
    reason = accuracy(34.6, fp32).reason
    sentence = f"fp32 itself gives {fp32:.3f} dB, which does not reproduce the reference within 0.1 %"
    assert (sentence in reason) == said


def test_an_equal_figure_is_called_equal():
    assert "equal to the sample reference 34.610 dB, equal to its own fp32" in accuracy(34.6100001, 34.61).reason


@pytest.mark.parametrize("gate", [gates.accuracy, gates.parity])
def test_an_output_that_is_not_finite_fails_whatever_the_figure(gate):
    images = [f"{number:04}.png" for number in range(12)]
    found = judged(99.0, 34.61, agreement=agreement(0.0, *images))
    verdict = sound(gate(found, RELATIVE, *([basis(34.61)] if gate is gates.accuracy else [])))
    assert verdict.status == "failed"
    assert verdict.reason == "NaN or infinity in the output of 12 of 8 images of sr_photos, first 0000.png"
    assert verdict.details["images"].endswith("0009.png")
    assert verdict.observed is None


def test_no_finite_output_at_all_fails():
    verdict = accuracy(None, agreement=agreement(None, "a.png"))
    assert (verdict.status, verdict.observed) == ("failed", None)


def test_no_targets_is_no_pass():
    assert accuracy(None).status == "refused"
    assert "no psnr figure on 8 images of sr_photos: it has no targets" in accuracy(None).reason
    assert parity(None, 34.61).status == "refused"


@pytest.mark.parametrize("verdict", [lambda: accuracy(math.inf), lambda: parity(math.inf, math.inf)])
def test_outputs_that_all_equal_their_targets_are_refused(verdict):
    assert verdict().status == "refused"
    assert "every output equals its target; is the target fed?" in verdict().reason


@pytest.mark.parametrize("found", [34.61, 30.0])
def test_a_figure_that_does_not_apply_is_refused_with_every_reason(found):
    verdict = accuracy(found, 34.6, unmet=("a subset of 2 of 8 images", "other weights than the profile's"))
    assert verdict.status == "refused"
    assert verdict.reason.endswith(
        "the sample reference 34.610 dB does not apply: a subset of 2 of 8 images, other weights than the profile's"
    )
    assert (verdict.observed, verdict.required, verdict.margin) == (found, None, None)
    assert "its own fp32" in verdict.reason


def test_parity_without_an_fp32_figure_is_refused():
    verdict = parity(34.6, None, fp32_by="a pack of edsr")
    assert verdict.status == "refused"
    assert "there is no fp32 figure on 8 images of sr_photos from a pack of edsr; make the pack again" in verdict.reason


def test_parity_reports_how_far_the_outputs_lie_apart():
    verdict = parity(34.6, 34.61, agreement=agreement(0.5))
    assert "0.029 % below fp32 by torch 2.13; RMS error 0.5, largest 0.5" in verdict.reason
    assert verdict.details["worst_image"] == "a.png"
    assert verdict.details["cosine"] == pytest.approx(1.0)
    assert verdict.details["rms_error"] == verdict.details["largest_error"] == 0.5


def test_parity_with_a_pack_says_that_outputs_were_not_compared():
    assert parity(34.6, 34.61, agreement=agreement(None)).reason.endswith(
        "outputs not compared, a pack holds figures only"
    )


def test_a_figure_implied_on_crops_says_so():
    verdict = parity(34.0, 34.61, on="8 real 256 px crops of sr_photos", implied=True, gate=Gate(0.005))
    assert verdict.status == "failed"
    assert "on 8 real 256 px crops of sr_photos its error lowers fp32's 34.610 dB by 1.7625 %" in verdict.reason


def test_shows_the_five_worst_images_and_what_fell_most():
    per_image = {f"{number}.png": 30.0 + number for number in range(8)}
    fp32 = {name: value + (2.0 if name == "7.png" else 0.0) for name, value in per_image.items()}
    verdict = accuracy(result(33.5, per_image=per_image), result(33.75, per_image=fp32))
    assert list(verdict.details["worst"]) == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    assert verdict.details["fell_most_from_fp32"] == {"7.png": "2 dB"}


def test_says_that_no_image_fell():
    assert accuracy(34.61, 34.61).details["fell_most_from_fp32"] == "no image fell"


def test_an_identical_image_is_no_obstacle():
    per_image = {"a.png": math.inf, "b.png": 33.0}
    verdict = accuracy(result(34.61, per_image=per_image), result(34.61, per_image=per_image))
    assert list(verdict.details["worst"]) == ["b.png", "a.png"]


def test_classes_and_notes_are_kept():
    found = result(54.6, "%", per_class={"road": 97.1}, notes=("one class is absent",))
    verdict = accuracy(found, reference=54.627, unit="%")
    assert verdict.details["per_class"] == {"road": 97.1}
    assert verdict.details["notes"] == "one class is absent"


def test_names_its_figure_by_the_profile():
    other = replace(basis(54.627, "%"), name="official reference")
    assert "the official reference 54.627 %" in gates.accuracy(judged(54.627, unit="%"), RELATIVE, other).reason


def test_a_broken_profile_fails_and_says_what_was_measured():
    broken = replace(basis(34.61), broken=("another network: expected fingerprint ab, found cd",))
    verdict = sound(gates.accuracy(judged(34.6), RELATIVE, broken))
    assert verdict.status == "failed"
    assert "34.600 dB" in verdict.reason
    assert "does not apply: another network: expected fingerprint ab, found cd" in verdict.reason
    assert verdict.observed == 34.6
