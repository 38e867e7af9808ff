"""What the failures of atc mean."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.ascend import atc_errors
from fixtures.ascend.atc_errors import ENVIRONMENT, INTERNAL, KERNEL, MEANING, MODEL, UNKNOWN, USAGE, explain

REFERENCE = Path(__file__).resolve().parents[1].parent / "shared" / "reference" / "ascend.md"
HEAD = [
    "ATC start working now, please wait for a moment.",
    "...",
    "ATC run failed, Please check the detail log, Try 'atc --help' for more information",
]


@pytest.mark.parametrize(
    ("line", "code", "kind", "said"),
    [
        (
            "E19010: No parser is registered for Op [Conv_52, optype [ai.onnx::11::Convx]].",
            "E19010",
            MODEL,
            "No parser is registered for Op [Conv_52, optype [ai.onnx::11::Convx]].",
        ),
        (
            "EZ3002: Optype [Convx] of Ops kernel [AICORE] is unsupported.",
            "EZ3002",
            MODEL,
            "Optype [Convx] of Ops kernel [AICORE] is unsupported.",
        ),
        (
            "E20001: [PID: 200452] 2025-06-16-13:02:36.801.136 Failed to compile Op [/model/Slice]. "
            "(optype: [StridedSliceD])",
            "E20001",
            KERNEL,
            "Failed to compile Op [/model/Slice]. (optype: [StridedSliceD])",
        ),
        ("[ERROR] EZ0501: IR for Op [x, optype [Y]], is not registered.", "EZ0501", MODEL, "IR for Op"),
        ("E19999: Inner Error!", "E19999", INTERNAL, "Inner Error!"),
        (
            "E10016: Opname [image] specified in --input_shape is not found in the model",
            "E10016",
            USAGE,
            "Opname [image]",
        ),
        ("E40021: kernel", "E40021", KERNEL, "kernel"),
    ],
)
def test_reads_the_code_and_what_was_said(line: str, code: str, kind: str, said: str) -> None:
    found = explain([*HEAD, line, "        Possible Cause: ...", "        TraceBack (most recent call last):"], 255)
    assert (found.code, found.kind) == (code, kind)
    assert found.said.startswith(said)
    assert str(found).startswith(f"{code}: {said}")
    assert found.next_step in str(found)


def test_every_code_has_a_class_a_cause_and_a_next_step() -> None:
    for code, (kind, cause, next_step) in MEANING.items():
        assert re.fullmatch("E[0-9A-Z][0-9]{4}", code)
        assert all((kind, cause, next_step))
        assert not cause.endswith(".")
        found = explain([*HEAD, f"{code}: something"], 255)
        assert (found.kind, found.cause, found.next_step) == (kind, cause, next_step)


def test_knows_every_code_of_the_catalogue() -> None:
    if not REFERENCE.exists():
        pytest.skip("the reference is not at hand")
    text = REFERENCE.read_text()
    table = text[text.index("### 1.6") : text.index("Suggested classes for the harness")]
    heads = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    codes = {code for head in heads for code in re.findall(r"E[0-9A-Z][0-9]{4}", head)}
    assert len(codes) > 50
    assert codes <= set(MEANING)


def test_a_kernel_missing_for_what_every_soc_has_is_an_installation() -> None:
    common = "EZ3003: No supported Ops kernel and engine are found for [Conv_52], optype [Conv2D]."
    rare = "EZ3003: No supported Ops kernel and engine are found for [Foo_1], optype [GridSample]."
    assert explain([*HEAD, common], 255).kind == ENVIRONMENT
    assert "kernel package" in explain([*HEAD, common], 255).next_step
    assert explain([*HEAD, rare], 255).kind == MODEL


def test_the_first_code_behind_the_failure_is_the_headline() -> None:
    lines = ["E19999: noise of a retry", *HEAD, "E10016: the reason", "E19999: what follows from it"]
    assert explain(lines, 255).code == "E10016"
    assert explain(["E10001: no line of failure", "E19999: later"], 255).code == "E10001"


def test_ignores_the_log_that_is_mixed_in() -> None:
    noise = [
        "[ERROR] GE(1234,atc.bin):2023-01-01-10:00:00.000.000 [main.cc:10]E10001 is not this",
        "[INFO] TBE(99,python3):2023 E19999: inside a line",
        "[WARNING] E1999: too short",
    ]
    assert explain([*noise, *HEAD, *noise, "E10007: --soc_version is required.", *noise], 255).code == "E10007"


@pytest.mark.parametrize(
    ("line", "status", "kind", "words"),
    [
        ("sh: 1: atc: not found", 127, ENVIRONMENT, "--ascend-env"),
        ("bash: atc: command not found", 127, ENVIRONMENT, "--ascend-env"),
        (
            "atc: error while loading shared libraries: libge_compiler.so: cannot open shared object file",
            127,
            ENVIRONMENT,
            "libge_compiler.so",
        ),
        ("ModuleNotFoundError: No module named 'sympy'", 255, ENVIRONMENT, "--ascend-python"),
        ("ImportError: No module named sympy", 255, ENVIRONMENT, "--ascend-python"),
        ("write model: No space left on device", 255, ENVIRONMENT, "make room"),
        ("ATC run failed, bad memory allocation occur !", 255, ENVIRONMENT, "TE_PARALLEL_COMPILER"),
        ("", 127, ENVIRONMENT, "could not be started"),
        ("", -signal.SIGKILL, ENVIRONMENT, "memory"),
        ("", 128 + signal.SIGKILL, ENVIRONMENT, "memory"),
        ("", -signal.SIGSEGV, INTERNAL, "SIGSEGV"),
        ("", 128 + signal.SIGABRT, INTERNAL, "SIGABRT"),
        ("", 255, UNKNOWN, "no error code"),
        ("", 1, UNKNOWN, "read the log"),
    ],
)
def test_explains_what_has_no_code(line: str, status: int, kind: str, words: str) -> None:
    found = explain([line], status)
    assert (found.kind, found.code) == (kind, "")
    assert words in str(found)


@pytest.mark.parametrize("code", ["E19999", "EZ9999", "E40021"])
@pytest.mark.parametrize("before", [True, False])
def test_what_a_code_of_the_inside_hides_is_found(code: str, before: bool) -> None:
    lines = [*HEAD, f"{code}: Inner Error!"]
    lines.insert(0 if before else 4, "        ModuleNotFoundError: No module named 'decorator'")
    found = explain(lines, 255)
    assert (found.code, found.kind) == (code, ENVIRONMENT)
    assert "--ascend-python" in found.next_step


def test_a_module_that_is_named_beside_the_code_is_found() -> None:
    found = explain([*HEAD, "E40021: Failed to compile Op [x]: ModuleNotFoundError: No module named 'decorator'"], 255)
    assert (found.code, found.kind) == ("E40021", ENVIRONMENT)


def test_a_code_that_says_what_is_wrong_stands() -> None:
    found = explain([*HEAD, "E10016: Opname", "ModuleNotFoundError: No module named 'decorator'"], 255)
    assert found.kind == USAGE


def test_an_unknown_code_keeps_its_family() -> None:
    assert explain([*HEAD, "E10099: new"], 255).kind == USAGE
    assert explain([*HEAD, "EL0099: new"], 255).kind == ENVIRONMENT
    assert explain([*HEAD, "EX0001: new"], 255).kind == UNKNOWN


@given(st.lists(st.text(max_size=80), max_size=20), st.integers(-64, 255))
def test_any_output_is_explained(lines: list[str], status: int) -> None:
    found = explain(lines, status)
    assert all((found.kind, found.cause, found.next_step))
    assert str(found)


def test_a_line_of_any_length_is_cut() -> None:
    assert len(explain([*HEAD, "E10001: " + "x" * 10**7], 255).said) <= atc_errors.LINE_CHARACTERS
