from __future__ import annotations

import math

import pytest

from acceptance import gates
from acceptance.evaluations import Evaluations
from acceptance.metrics.psnr import PSNR
from fixtures import catalogue
from fixtures.case import Case
from fixtures.model import Gate
from fixtures.runtimes.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from reports.ledger import Ledger
from tests import records, tiny


@pytest.fixture
def evaluations(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("FAULT", "")
    folder = tiny.write(tmp_path / "catalogue")
    tiny.write_double(folder)
    with tiny.extended(folder):
        workshop = tiny.workshop(folder, tmp_path / "store")
        yield Evaluations(workshop, Ledger(tmp_path / "evidence.jsonl"))
        workshop.pool.close()


@pytest.fixture
def runs(monkeypatch):
    counted = []
    run = OnnxRuntimeSession.run
    monkeypatch.setattr(OnnxRuntimeSession, "run", lambda self, inputs: counted.append(1) or run(self, inputs))
    return counted


def test_one_pass_feeds_accuracy_and_parity(evaluations, runs):
    first = evaluations.take(tiny.case())
    assert evaluations.take(tiny.case()) is first
    assert len(runs) == 2 * tiny.IMAGES  # the reference and the engine
    assert len(evaluations.ledger.measurements) == 1
    accuracy = gates.accuracy(first.judged, Gate(0.5, "absolute"), evaluations.basis(tiny.case()))
    parity = gates.parity(first.judged, Gate(0.5, "absolute"))
    assert (accuracy.status, parity.status) == ("passed", "passed")
    assert accuracy.observed == parity.observed == pytest.approx(tiny.FIGURE)


def test_records_the_figure_with_engine_data_and_time_before_it_is_judged(evaluations):
    taken = evaluations.take(tiny.case(batch=5))
    (found,) = evaluations.ledger.find(tiny.case(batch=5), "top1")
    assert taken.measurements == (found.id,)
    assert found.value == pytest.approx(tiny.FIGURE)
    engine = evaluations.workshop.sources.engine(tiny.case(batch=5))
    assert found.engine["sha256"] == engine.sha256
    assert found.data["images"] == found.data["of"] == tiny.IMAGES
    assert found.data["digest"] == evaluations.workshop.data(tiny.case()).digest
    assert len(found.samples) == tiny.IMAGES
    assert 0 < found.details["inference_seconds"] < found.details["seconds"]
    assert found.details["rms_error"] == 0.0


def test_every_batch_has_a_pass_of_its_own_against_one_reference(evaluations, runs):
    for batch in (1, 5):
        evaluations.take(tiny.case(batch=batch))
    assert len(runs) == tiny.IMAGES + tiny.IMAGES + math.ceil(tiny.IMAGES / 5)
    assert len(evaluations.ledger.measurements) == 2


def test_tells_how_far_each_pass_is(evaluations):
    evaluations.take(tiny.case(batch=5))
    titles = {title for title, _, _ in evaluations.workshop.progress.told}
    assert titles == {"fp32 reference of tiny, 12 images of vectors", "tiny-bs5-onnxruntime on 12 images of vectors"}
    assert evaluations.workshop.progress.told[-1][1:] == (12, 12)


def test_an_engine_that_is_off_is_seen_against_fp32(evaluations, monkeypatch):
    monkeypatch.setenv("OFFSET", "0.25")
    found = evaluations.take(tiny.case("faulty")).judged.agreement
    assert (found.rms, found.largest_error) == (pytest.approx(0.25), pytest.approx(0.25))


def test_a_partly_infinite_engine_leaves_no_figure_in_the_evidence(evaluations, monkeypatch):
    run, calls = OnnxRuntimeSession.run, []

    def sometimes(self, inputs):
        calls.append(1)
        # the reference goes first
        return (run(self, inputs)[0] * (math.nan if len(calls) == tiny.IMAGES + 3 else 1),)

    monkeypatch.setattr(OnnxRuntimeSession, "run", sometimes)
    taken = evaluations.take(tiny.case())
    assert taken.judged.agreement.not_finite == ["02.json"]
    assert evaluations.ledger.find(tiny.case(), "top1") == []
    verdict = gates.accuracy(taken.judged, Gate(50, "absolute"), evaluations.basis(tiny.case()))
    assert (verdict.status, "first 02.json" in verdict.reason) == ("failed", True)
    (kept,) = evaluations.ledger.measurements
    assert (kept.metric, kept.details["not_finite"]) == ("rms_error", ["02.json"])


def test_an_engine_without_a_finite_output_fails_both_gates_and_leaves_no_measurement(evaluations, monkeypatch):
    evaluations.references.get(tiny.case(), evaluations.workshop.feed(tiny.case()))
    monkeypatch.setenv("OFFSET", "nan")
    taken = evaluations.take(tiny.case("faulty"))
    assert taken.measurements == ()
    assert evaluations.ledger.measurements == []
    gate = Gate(0.5, "absolute")
    assert gates.accuracy(taken.judged, gate, evaluations.basis(tiny.case("faulty"))).status == "failed"
    assert gates.parity(taken.judged, gate).status == "failed"


WHOLE = Case("sample", "double", 24, 1, "faulty")
CROPPED = Case("sample", "double", 16, 1, "faulty", shows_size=True)


def test_on_crops_the_error_against_fp32_is_added_to_its_figure_on_the_whole_set(evaluations, monkeypatch):
    whole = evaluations.references.get(WHOLE, evaluations.workshop.feed(WHOLE)).result
    monkeypatch.setenv("OFFSET", "3")
    judged = evaluations.take(CROPPED).judged
    assert judged.implied
    assert judged.on == "3 real 16 px crops of pairs"
    assert judged.fp32 == whole
    assert judged.agreement.rms == pytest.approx(3)
    assert judged.found.value == pytest.approx(PSNR.degraded(whole.value, 3))
    verdict = gates.parity(judged, catalogue.find("model", "double").parity_gate("fp32"))
    assert verdict.status == "failed"
    assert "on 3 real 16 px crops of pairs its error lowers fp32's" in verdict.reason
    (kept,) = evaluations.ledger.measurements
    assert (kept.metric, kept.value) == ("rms_error", pytest.approx(3))


def test_on_crops_an_exact_engine_keeps_the_figure(evaluations):
    judged = evaluations.take(CROPPED).judged
    assert judged.found.value == pytest.approx(judged.fp32.value)
    assert gates.parity(judged, Gate(0.005)).passed


def test_at_its_own_size_nothing_is_implied(evaluations):
    judged = evaluations.take(WHOLE).judged
    assert not judged.implied
    assert judged.found == judged.fp32


def test_a_subset_is_judged_by_parity_and_its_figure_refused(evaluations, tmp_path):
    part = tiny.workshop(evaluations.workshop.selection.catalogues[0], tmp_path / "store", subset=4)
    some = Evaluations(part, evaluations.ledger)
    taken = some.take(tiny.case())
    verdict = gates.accuracy(taken.judged, Gate(0.5, "absolute"), some.basis(tiny.case()))
    assert verdict.status == "refused"
    assert "4 of 12 images of vectors" in verdict.reason
    assert "a subset of 4 of 12 images" in verdict.reason
    assert gates.parity(taken.judged, Gate(0.5, "absolute")).passed
    part.pool.close()


def test_a_verdict_that_failed_in_a_narrow_precision_comes_with_what_to_try(evaluations, monkeypatch):
    monkeypatch.setattr(OnnxRuntime, "remedies", lambda *_: ("keep one node", "fp32"))
    for status in ("passed", "failed"):
        verdict = records.verdict(status, case=tiny.case(), details={"worst": {}})
        found = evaluations.advised(tiny.case(), verdict).details.get("to_try")
        assert found == ({"1.": "keep one node", "2.": "fp32"} if status == "failed" else None)


def test_a_verdict_of_a_runtime_without_remedies_is_left_alone(evaluations):
    verdict = records.verdict("failed", case=tiny.case())
    assert evaluations.advised(tiny.case(), verdict) is verdict
