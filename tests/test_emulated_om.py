"""The emulated OM: what is written is read, anything else is refused, and the mark of the emulator is in it."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SITE = Path(__file__).resolve().parents[1] / "fixtures" / "emulator" / "site"

META = {"soc_version": "Ascend310P3", "inputs": [], "outputs": [], "gears": {}, "dynamic": False}


def by_path(name: str) -> ModuleType:
    """Load a module of the emulator without putting its folder on the path."""
    spec = importlib.util.spec_from_file_location(name, SITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:  # dataclasses look their module up by name
        patch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
    return module


emulated_om = by_path("emulated_om")


@pytest.fixture
def om(tmp_path: Path) -> Path:
    path = tmp_path / "model.om"
    emulated_om.write(path, b"graph" * 50, META)
    return path


@given(
    content=st.binary(max_size=300),
    meta=st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.booleans())),
)
@settings(max_examples=40)
def test_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, content: bytes, meta: dict) -> None:
    path = tmp_path_factory.mktemp("om") / "model.om"
    emulated_om.write(path, content, meta)
    assert emulated_om.read(path) == (meta, content)


def test_has_the_header_of_a_real_file(om: Path) -> None:
    content = om.read_bytes()
    magic, size, version = struct.unpack_from("<4sII", content)
    assert (magic, size, version) == (b"IMOD", 256, 0x10000000)
    assert struct.unpack_from("<I", content, 76) == (len(content) - 256,)
    assert content[84:116].rstrip(b"\0") == b"model"


def test_carries_the_mark_of_the_emulator(om: Path) -> None:
    assert om.read_bytes()[120:152].rstrip(b"\0") == b"EMULATED BY SIGNOFF"


def test_names_the_soc_soon_after_the_header(om: Path) -> None:
    assert b"Ascend310P3" in om.read_bytes()[256:4096]


@pytest.mark.parametrize("length", [0, 1, 255, 256, 263, 270, 400, -1])
def test_refuses_a_truncated_file(om: Path, length: int) -> None:
    om.write_bytes(om.read_bytes()[:length])
    with pytest.raises(ValueError, match="expected"):
        emulated_om.read(om)


def test_refuses_a_file_with_bytes_behind_its_end(om: Path) -> None:
    om.write_bytes(om.read_bytes() + b"x")
    with pytest.raises(ValueError, match="after the header"):
        emulated_om.read(om)


@pytest.mark.parametrize("place", [0, 4, 8, 76, 120, 181])
def test_refuses_a_changed_header(om: Path, place: int) -> None:
    content = bytearray(om.read_bytes())
    content[place] ^= 0xFF
    om.write_bytes(content)
    with pytest.raises(ValueError, match="expected"):
        emulated_om.read(om)


@given(content=st.binary(max_size=600))
@settings(max_examples=60)
def test_refuses_any_other_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("om") / "other"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="expected"):
        emulated_om.read(path)


@given(meta=st.binary(max_size=60))
@settings(max_examples=40)
def test_raises_nothing_but_value_error_for_a_damaged_meta(
    tmp_path_factory: pytest.TempPathFactory, meta: bytes
) -> None:
    path = tmp_path_factory.mktemp("om") / "model.om"
    emulated_om.write(path, b"", {})
    content = bytearray(path.read_bytes()[:256])
    rest = struct.pack("<Q", len(meta)) + meta
    content[76:80], content[181:189] = struct.pack("<I", len(rest)), struct.pack("<Q", len(rest))
    path.write_bytes(content + rest)
    try:
        found, graph = emulated_om.read(path)
    except ValueError:
        return
    assert isinstance(found, dict)
    assert graph == b""


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        emulated_om.read(tmp_path / "none.om")


class TestScenario:
    @pytest.fixture
    def scenario(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        monkeypatch.delenv("SIGNOFF_EMULATOR_SCENARIO", raising=False)
        monkeypatch.delenv("SIGNOFF_EMULATOR_SOC", raising=False)
        return by_path("emulated_scenario")

    def test_without_one_is_a_card_of_four_ascend310(self, scenario: ModuleType) -> None:
        found = scenario.load()
        assert (found.generation, found.soc, found.devices, found.state) == ("G2", "Ascend310", 4, "idle")

    def test_follows_the_soc_of_the_backend(self, scenario: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SIGNOFF_EMULATOR_SOC", "Ascend310P3")
        assert (scenario.load().soc, scenario.load().devices) == ("Ascend310P3", 1)

    def test_its_own_soc_goes_before_that_of_the_backend(
        self, scenario: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("SIGNOFF_EMULATOR_SOC", "Ascend310P3")
        monkeypatch.setenv("SIGNOFF_EMULATOR_SCENARIO", str(tmp_path / "scenario.json"))
        (tmp_path / "scenario.json").write_text('{"soc": "Ascend310", "cards": 2}')
        assert (scenario.load().soc, scenario.load().devices) == ("Ascend310", 8)

    @pytest.mark.parametrize(
        "text", ["[]", "{", '{"sock": 1}', '{"cards": "1"}', '{"cards": true}', '{"state": "asleep"}', '{"acl": []}']
    )
    def test_refuses_what_it_does_not_know(
        self, scenario: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
    ) -> None:
        monkeypatch.setenv("SIGNOFF_EMULATOR_SCENARIO", str(tmp_path / "scenario.json"))
        (tmp_path / "scenario.json").write_text(text)
        with pytest.raises(ValueError):  # noqa: PT011 - json's own errors are among them
            scenario.load()
