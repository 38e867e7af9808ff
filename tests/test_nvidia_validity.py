"""Asking TensorRT-RTX about an engine: in a child that sees one GPU, and no answer is no ground to refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fixtures.nvidia import validity
from tests import fake_nvidia

STAND_IN = """
import enum, json, os, sys
from tests import fake_nvidia
library = fake_nvidia.tensorrt("10.3.0", __name__)
library.EngineInvalidityDiagnostics = enum.IntFlag(
    "Bits", {{"VERSION_MISMATCH": 1, "OLD_CUDA_DRIVER": 4, "MALFORMED_ENGINE": 32, "CUDA_ERROR": 64, "NEW": 128}}
)
def ask(self, head):
    assert len(head) == 64, len(head)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == {gpu!r}
    {code}
library.Runtime.engine_header_size = 64
library.Runtime.get_engine_validity = ask
sys.modules[__name__] = library
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what a child says whose library answers with the code it is given."""
    path = tmp_path / "model.rtx"
    path.write_bytes(fake_nvidia.engine({}, "1.7.1.116", b"vtrt") + bytes(100))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def ask(code: str, gpu: str = fake_nvidia.NAME) -> tuple[str, ...]:
        (tmp_path / "stand_in.py").write_text(STAND_IN.format(code=code, gpu=gpu))
        return validity.against("stand_in", path, gpu)

    return ask


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0, []),
        (1, ["it is of another version"]),
        (4 | 32, ["the driver here is older than it needs", "it is damaged, or no engine"]),
        (64 | 128, []),
    ],
)
def test_tells_the_bits_that_are_the_engines(bits: int, words: list[str], asked: Any) -> None:
    assert asked(f"return 2, {bits}") == tuple(words)


@pytest.mark.parametrize("code", ["os.abort()", "raise ValueError", "os._exit(0)"])
def test_a_child_that_does_not_answer_refuses_nothing(code: str, asked: Any) -> None:
    assert asked(code) == ()


def test_a_child_that_hangs_refuses_nothing(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validity, "SECONDS", 0.1)
    assert asked("import threading; threading.Event().wait()") == ()


def test_a_lost_gpu_is_not_asked(asked: Any) -> None:
    assert asked("return 2, 1", gpu="GPU 0") == ()


def test_the_real_library_has_every_bit_and_reads_the_head_only(tmp_path: Path) -> None:
    library = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: .[tensorrt]")
    known = library.EngineInvalidityDiagnostics
    assert {*validity.WORDS, "CUDA_ERROR"} == set(known.__members__)
    assert all(int(known.__members__[name]) & (int(known.__members__[name]) - 1) == 0 for name in validity.WORDS)
    (tmp_path / "engine").write_bytes(b"no engine" * 50)
    validity.main("tensorrt_rtx", tmp_path / "engine", tmp_path / "answer")
    assert json.loads((tmp_path / "answer").read_text()) == ["MALFORMED_ENGINE"]
