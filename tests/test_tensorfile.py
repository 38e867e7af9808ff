"""Named arrays in a safetensors file that is written piece by piece."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fixtures.tensorfile import Reader, Writer

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
CONTENT = st.dictionaries(
    st.text(min_size=1, max_size=40).filter(lambda name: name != "__metadata__"),
    arrays.arrays(np.float32, SHAPES, elements=st.floats(width=32)),
    max_size=5,
)


def write(path: Path, content: dict[str, np.ndarray], **metadata: str) -> Path:
    with Writer(path, len(content)) as writer:
        for name, array in content.items():
            writer.add(name, array)
        writer.metadata.update(metadata)
    return path


@settings(max_examples=60, deadline=None)
@given(CONTENT)
def test_gives_back_what_was_written(content: dict[str, np.ndarray]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        read = Reader(write(Path(folder, "a.safetensors"), content, note="é"))
        assert list(read) == list(content)
        assert len(read) == len(content)
        assert read.metadata == {"note": "é"}
        for name, array in content.items():
            assert read[name].shape == array.shape
            assert read[name].tobytes() == array.tobytes()  # NaN payloads and the sign of zero as well


@settings(max_examples=30, deadline=None)
@given(CONTENT)
def test_other_readers_of_the_format_open_it(content: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import load_file

    with tempfile.TemporaryDirectory() as folder:
        read = load_file(write(Path(folder, "a.safetensors"), content, figures="null"))
        assert set(read) == set(content)
        for name, array in content.items():
            assert read[name].shape == array.shape
            assert read[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [np.arange(6, dtype=">f4").reshape(2, 3), np.arange(6.0).reshape(2, 3), np.arange(6, dtype=np.uint8).reshape(2, 3)],
    ids=["big-endian", "float64", "uint8"],
)
def test_stores_every_kind_as_little_endian_float32(tmp_path: Path, array: np.ndarray) -> None:
    read = Reader(write(tmp_path / "a", {"x": array}))["x"]
    assert read.dtype == np.dtype("<f4")
    assert (read == array).all()


def test_stores_a_transposed_view_as_it_looks(tmp_path: Path) -> None:
    view = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    assert (Reader(write(tmp_path / "a", {"x": view}))["x"] == view).all()


def test_maps_arrays_read_only(tmp_path: Path) -> None:
    read = Reader(write(tmp_path / "a", {"x": np.zeros(3, np.float32)}))["x"]
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 1


@pytest.mark.parametrize("name", ["x", "__metadata__"])
def test_refuses_a_name_that_is_taken(tmp_path: Path, name: str) -> None:
    with Writer(tmp_path / "a", 3) as writer:
        writer.add("x", np.zeros(1))
        with pytest.raises(ValueError, match=name):
            writer.add(name, np.ones(1))


def test_says_when_names_need_more_room_than_was_left_for_them(tmp_path: Path) -> None:
    content = {f"{number:0300000}": np.zeros(1) for number in range(2)}
    with pytest.raises(ValueError, match="2 arrays need a header of"):
        write(tmp_path / "a", content)


class Twice(dict[str, np.ndarray]):
    """Names every array twice."""

    def items(self):  # type: ignore[no-untyped-def, override]
        return [*super().items(), *super().items()]


def test_a_file_whose_writing_was_cut_short_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="taken"):
        write(tmp_path / "a", Twice(x=np.zeros(4)))
    with pytest.raises(ValueError, match="Expecting value"):
        Reader(tmp_path / "a")
