"""Engine files by their first bytes: everyday wrong files are named for what they are."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fixtures.nvidia import plan
from fixtures.nvidia.plan import EngineError
from tests import fake_nvidia, graphs

RTX = fake_nvidia.engine({"inputs": []}, "1.7.1.116", b"vtrt")
PLAN = fake_nvidia.engine({"inputs": []}, "10.3.0.26")


def saved(folder: Path, data: bytes) -> Path:
    path = folder / "engine"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "library", "version"),
    [
        (RTX, "tensorrt_rtx", "1.7.1.116"),
        (PLAN, "tensorrt", "10.3.0.26"),
        (b"ptrt" + PLAN[4:], "tensorrt", "10.3.0.26"),
    ],
)
def test_reads_size_and_version(data: bytes, library: str, version: str, tmp_path: Path) -> None:
    head = plan.read(saved(tmp_path, data), library)
    assert head == plan.Head(library, len(data), version)
    assert plan.version(head, len(data)) == version


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"IMOD" + bytes(252), "an OM of Ascend"),
        (graphs.convolution().SerializeToString(), "an ONNX file"),
        (b"<!doctype html><html>", "a web page"),
        (b"<HTML>", "a web page"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"\x1f\x8b" + bytes(100), "a gzip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"no engine" * 100, "a file of another kind"),
        (RTX, "one of tensorrt_rtx"),
        (PLAN[:40], "the first 40 bytes of one"),
    ],
)
def test_names_what_is_no_engine(data: bytes, found: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=f"engine: expected an engine of tensorrt; found {found}"):
        plan.read(saved(tmp_path, data), "tensorrt")


def test_takes_an_unknown_start_from_a_build_that_passed_and_nothing_known_to_be_foreign(tmp_path: Path) -> None:
    unknown = b"qtrt" + bytes(100)
    head = plan.read(saved(tmp_path, unknown), "tensorrt", built=True)
    assert plan.version(head, len(unknown)) is None
    with pytest.raises(EngineError, match="found a file of another kind"):
        plan.read(saved(tmp_path, unknown), "tensorrt")
    for data, found in (
        (b"", "an empty file"),
        (unknown[:63], "the first 63 bytes"),
        (graphs.convolution().SerializeToString(), "an ONNX file"),
        (b"IMOD" + bytes(252), "an OM of Ascend"),
        (RTX, "one of tensorrt_rtx"),
    ):
        with pytest.raises(EngineError, match=f"found {found}"):
            plan.read(saved(tmp_path, data), "tensorrt", built=True)


def test_names_an_onnx_file_of_any_exporter(tmp_path: Path) -> None:
    graph = graphs.convolution()
    graph.producer_name, graph.producer_version = "pytorch", "2.13.0"
    with pytest.raises(EngineError, match="found an ONNX file"):
        plan.read(saved(tmp_path, graph.SerializeToString()), "tensorrt")


def test_names_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="found a directory"):
        plan.read(tmp_path, "tensorrt")
    with pytest.raises(EngineError, match="found nothing"):
        plan.read(tmp_path / "absent", "tensorrt")


def test_notices_a_truncated_engine(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=f"of {len(RTX)} bytes; found {len(RTX) - 5} of them; copy it again"):
        plan.read(saved(tmp_path, RTX[:-5]), "tensorrt_rtx")


def test_holds_nothing_against_an_engine_whose_layout_it_does_not_know(tmp_path: Path) -> None:
    """A size that is not the file's proves that the other fields mean something else."""
    data = b"ftrt" + b"\x07" * 200
    head = plan.read(saved(tmp_path, data), "tensorrt")
    assert plan.version(head, len(data)) is None


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.one_of(some.binary(max_size=90), some.binary(max_size=90).map(lambda rest: b"vtrt" + rest)))
def test_any_bytes_are_read_or_refused(data: bytes, tmp_path: Path) -> None:
    with contextlib.suppress(EngineError):
        plan.read(saved(tmp_path, data), "tensorrt_rtx")
