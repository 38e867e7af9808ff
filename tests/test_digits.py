"""A model of a user's own, from a folder outside the checkout: nothing of ours knows it, and everything works on it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.evidence import read

CHECKOUT = Path(__file__).resolve().parents[1]
DIGITS = CHECKOUT / "tests" / "digits"
BACKENDS = ("onnxruntime", "openvino", "torch")


@dataclass
class Run:
    """What a run of pytest in the checkout came to."""

    status: int
    output: str
    records: list[Any]
    benchmarks: list[dict[str, Any]]

    def kind(self, name: str) -> list[Any]:
        return [record for record in self.records if type(record).__name__ == name]

    def verdicts(self, rule: str) -> dict[str, str]:
        return {verdict.case.id: verdict.status for verdict in self.kind("Verdict") if verdict.rule == rule}


def judged(folder: Path, *arguments: str, **environment: str) -> Run:
    """Run pytest as a user does, in the checkout, keeping everything it writes below `folder`."""
    folder.mkdir(exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SIGNOFF_", "PYTEST_"))}
    benchmarks, evidence = folder / "benchmarks.json", folder / "evidence.jsonl"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.brief",
            "-p",
            "no:cacheprovider",
            f"--record={evidence}",
            "-v",
            *arguments,
        ],
        cwd=CHECKOUT,
        env={
            **inherited,
            "SIGNOFF_HOME": str(folder.parent / "home"),
            "SIGNOFF_LOCKS": str(folder.parent / "locks"),  # nothing waits for, or holds up, real measurements
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(
        done.returncode,
        done.stdout + done.stderr,
        [entry.record for entry in read(evidence).entries] if evidence.exists() else [],
        json.loads(benchmarks.read_text())["benchmarks"] if benchmarks.exists() else [],
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Run:
    """Judge and time the model on every backend of the CPU, one image at a time."""
    folder = tmp_path_factory.mktemp("digits") / "run"
    return judged(
        folder,
        *("--catalogue", "tests/digits", "--model", "digits", "--batch", "1", "-m", "accuracy or perf"),
        *("-k", " or ".join(f"bs1-{backend}]" for backend in BACKENDS)),
        f"--benchmark-json={folder / 'benchmarks.json'}",
    )


def test_runs_accuracy_and_perf(whole):
    assert whole.status == 0, whole.output
    found = set(re.findall(r"^(\S+::\S+\[\S+\]) ", whole.output, re.MULTILINE))
    assert found == {
        *(f"acceptance/test_accuracy.py::test_accuracy[digits-bs1-{backend}]" for backend in BACKENDS),
        *(f"acceptance/test_parity.py::test_parity[digits-bs1-{backend}]" for backend in BACKENDS[:2]),
        *(f"bench/test_throughput.py::test_throughput[digits-bs1-{backend}]" for backend in BACKENDS),
    }


def test_is_judged_in_absolute_points(whole):
    assert whole.verdicts("accuracy") == {f"digits-bs1-{backend}": "passed" for backend in BACKENDS[:2]}
    assert whole.verdicts("parity") == whole.verdicts("accuracy")
    for verdict in whole.kind("Verdict"):
        assert (verdict.metric, verdict.unit, verdict.observed) == ("top1", "points", 97.8)
    required = {verdict.rule: verdict.required for verdict in whole.kind("Verdict")}
    assert required == {"accuracy": pytest.approx(96.8), "parity": pytest.approx(97.3)}


def test_the_evidence_holds_every_image_and_the_data_it_was_measured_on(whole):
    measured = [found for found in whole.kind("Measurement") if found.metric == "top1"]
    assert len(measured) == 2
    for found in measured:
        assert len(found.samples) == 500
        assert sum(found.samples.values()) == 48900
        assert set(found.per_class) == set("0123456789")
        assert found.data["images"] == found.data["of"] == 500


def test_the_backend_that_cannot_run_it_takes_one_line(whole):
    lines = [line for line in whole.output.splitlines() if line.startswith("not run")]
    assert len(lines) == 1
    assert re.match(r"not run +torch +1 case +digits is given as an ONNX file only; ", lines[0])


def test_the_benchmark_file_reads_as_pytest_benchmarks_own_and_carries_the_evidence(whole):
    assert {entry["name"] for entry in whole.benchmarks} == {
        f"test_throughput[digits-bs1-{backend}]" for backend in BACKENDS[:2]
    }
    for entry in whole.benchmarks:
        told = entry["extra_info"]["signoff"]
        assert told["images_per_second"] > 0
        records = told["records"]
        assert Counter(record["kind"] for record in records) == {"round": 2, "measurement": 2}
        calls = [len(record["samples_ns"]) for record in records if record["kind"] == "round"]
        assert entry["stats"]["rounds"] == sum(calls)


def test_the_environment_names_the_catalogue_to_the_timed_process_too(whole, tmp_path):
    run = judged(
        tmp_path / "run",
        *("--model", "digits", "--backend", "onnxruntime", "--batch", "4", "-m", "perf"),
        SIGNOFF_CATALOGUE=str(DIGITS),
    )
    assert run.status == 0, run.output
    assert [timed.case.id for timed in run.kind("Round")] == ["digits-bs4-onnxruntime"] * 2


def test_without_its_catalogue_the_model_is_not_known(tmp_path):
    run = judged(tmp_path / "run", "--model", "digits")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "unknown model 'digits'. Known: edsr, enet" in run.output


@pytest.fixture
def copied(tmp_path) -> Path:
    """Return a copy of the user's folder whose model takes any checkpoint, so that only the gates are in the way."""
    folder = tmp_path / "copied"
    shutil.copytree(DIGITS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    definition = folder / "fixtures" / "models" / "digits.py"
    text, replaced = re.subn(r'sha256="[0-9a-f]{64}"', "sha256=None", definition.read_text())
    assert replaced == 1
    definition.write_text(text)
    return folder


def damage(path: Path) -> None:
    """Add noise to the weights of the last layer: an engine that still answers, but worse."""
    import onnx

    graph = onnx.load(path)
    weights = next(tensor for tensor in graph.graph.initializer if list(tensor.dims) == [10, 384])
    values = onnx.numpy_helper.to_array(weights)
    noise = np.random.default_rng(0).normal(0, 2 * values.std(), values.shape)
    weights.CopyFrom(onnx.numpy_helper.from_array((values + noise).astype(np.float32), weights.name))
    onnx.save(graph, path)


def judged_copy(folder: Path, *arguments: str) -> Run:
    options = ("--model", "digits", "--backend", "onnxruntime", "--batch", "4", "-m", "accuracy")
    return judged(folder.parent / "run", f"--catalogue={folder}", *options, *arguments)


def test_the_unharmed_copy_passes(copied):
    run = judged_copy(copied)
    assert run.verdicts("accuracy") == {"digits-bs4-onnxruntime": "passed"}, run.output


def test_a_damaged_network_fails_the_gate(copied):
    """Parity cannot see it: the engine computes exactly what the damaged file says."""
    damage(copied / "digits.onnx")
    run = judged_copy(copied)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert run.verdicts("accuracy") == {"digits-bs4-onnxruntime": "failed"}, run.output
    assert run.verdicts("parity") == {"digits-bs4-onnxruntime": "passed"}
    (verdict,) = (verdict for verdict in run.kind("Verdict") if verdict.rule == "accuracy")
    assert verdict.observed < verdict.required
    assert len(verdict.details["worst"]) == 5


def test_a_file_of_another_digest_is_not_run(copied):
    shutil.copy(DIGITS / "fixtures" / "models" / "digits.py", copied / "fixtures" / "models")
    damage(copied / "digits.onnx")
    run = judged_copy(copied)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert "expected a file whose sha256 starts with" in run.output
    assert not run.kind("Verdict")


def test_another_network_fails_because_the_figure_is_not_its_own(copied):
    import onnx

    graph = onnx.load(copied / "digits.onnx")
    (gemm,) = (node for node in graph.graph.node if node.op_type == "Gemm")
    # As accurate as before, by one operator more: the figure would fit, and still was not measured on this network.
    logits, gemm.output[0] = gemm.output[0], "before"
    graph.graph.node.append(onnx.helper.make_node("LogSoftmax", ["before"], [logits], axis=1))
    onnx.save(graph, copied / "digits.onnx")
    run = judged_copy(copied)
    assert run.verdicts("accuracy") == {"digits-bs4-onnxruntime": "failed"}, run.output
    (verdict,) = (verdict for verdict in run.kind("Verdict") if verdict.rule == "accuracy")
    assert "another network: expected fingerprint" in verdict.reason
    assert verdict.observed == 97.8


def test_a_network_with_other_shapes_is_not_run(copied):
    import onnx

    graph = onnx.load(copied / "digits.onnx")
    graph.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.save(graph, copied / "digits.onnx")
    run = judged_copy(copied)
    assert "expected inputs [('image', 'uint8', (1, 8, 8, 1))] of digits at batch 1; found" in run.output


def test_data_that_have_changed_fail_rather_than_go_unjudged(copied):
    with np.load(copied / "handwritten" / "test.npz") as stored:
        images, labels = stored["images"][:400], stored["labels"][:400]
    np.savez(copied / "handwritten" / "test.npz", images=images, labels=labels)
    run = judged_copy(copied)
    assert run.verdicts("accuracy") == {"digits-bs4-onnxruntime": "failed"}, run.output
    assert "the data have changed" in run.output


def test_a_subset_of_samples_that_share_a_file_is_not_taken_for_the_whole(copied):
    """The fp32 outputs of the one are kept under another key than those of the other."""
    some = judged_copy(copied, "--subset", "10")
    assert some.verdicts("parity") == {"digits-bs4-onnxruntime": "passed"}, some.output
    (copied.parent / "run" / "evidence.jsonl").unlink()
    everything = judged_copy(copied)
    assert everything.verdicts("parity") == {"digits-bs4-onnxruntime": "passed"}, everything.output
    measured = [*some.kind("Measurement"), *everything.kind("Measurement")]
    found = {record.data["images"]: record.data["digest"] for record in measured}
    assert set(found) == {10, 500}
    assert found[10] != found[500]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            {"images": np.zeros((3, 8, 8), np.uint8), "labels": np.zeros(3, np.uint8)},
            "images: expected (3, 8, 8, 1) uint8 up to 16",
        ),
        (
            {"images": np.zeros((3, 8, 8, 1), np.uint8), "labels": np.zeros(2, np.uint8)},
            "labels: expected (3,) uint8 up to 9",
        ),
        ({"images": np.zeros((3, 8, 8, 1), np.uint8)}, "expected `images` and `labels`"),
    ],
)
def test_broken_data_are_told_before_anything_is_built(copied, content, problem):
    np.savez(copied / "handwritten" / "test.npz", **content)
    run = judged_copy(copied)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert problem in run.output
    assert not (copied.parent / "home" / "engines").exists()


def test_a_network_may_have_several_inputs_and_outputs_of_integer_types(copied):
    import onnx

    graph = onnx.load(copied / "digits.onnx")
    (gemm,) = (node for node in graph.graph.node if node.op_type == "Gemm")
    logits, gemm.output[0] = gemm.output[0], "unshifted"
    helper, kinds = onnx.helper, onnx.TensorProto
    graph.graph.node.extend(
        [
            helper.make_node("Cast", ["shift"], ["real_shift"], to=kinds.FLOAT),
            helper.make_node("Add", ["unshifted", "real_shift"], [logits]),
            helper.make_node("ArgMax", [logits], ["answer"], axis=1, keepdims=0),
        ]
    )
    graph.graph.input.append(helper.make_tensor_value_info("shift", kinds.INT64, ["N", 1]))
    graph.graph.output.append(helper.make_tensor_value_info("answer", kinds.INT64, ["N"]))
    onnx.save(graph, copied / "digits.onnx")
    shift, answer = 'Tensor("shift", ("N", 1), "int64"),', 'Tensor("answer", ("N",), "int64"),'
    for name, old, new in (
        ("models", '1), "uint8"),', f'1), "uint8"), {shift}'),
        ("models", '("N", 10)),', f'("N", 10)), {answer}'),
        ("datasets", "(images[int(name)],)", "(images[int(name)], labels[:1].astype('int64'))"),
    ):
        path = copied / "fixtures" / name / "digits.py"
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, new))
    run = judged_copy(copied, "--backend", "onnxruntime,openvino", "-m", "accuracy or perf")
    cases = {f"digits-bs4-{backend}" for backend in BACKENDS[:2]}
    assert run.verdicts("parity") == dict.fromkeys(cases, "passed"), run.output
    assert run.verdicts("accuracy") == dict.fromkeys(cases, "failed")  # the figure is of the network without a shift
    assert {verdict.observed for verdict in run.kind("Verdict")} == {97.8}
    assert {timed.case.id for timed in run.kind("Round")} == cases
