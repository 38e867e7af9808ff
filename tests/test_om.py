"""The header of an OM: what is refused, what is only odd, and what of the SoC can be seen."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.ascend import om
from tests import fake_om

WRONG = {
    "an ONNX graph": b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x80\x01",
    "Git-LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "HTML or XML page": b"\n<!DOCTYPE html><html><body>404</body></html>",
    "a zip archive": b"PK\x03\x04" + bytes(300),
    "a gzip archive": b"\x1f\x8b" + bytes(300),
    "an empty file": b"",
    "begins with b'\\x00\\x00\\x00\\x00'": bytes(300),
    "a truncated copy of 100 bytes": fake_om.header(0)[:100],
    "states 512 bytes": fake_om.header(0, size=512),
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("found", WRONG)
def test_says_what_an_everyday_wrong_file_is(tmp_path, found):
    with pytest.raises(om.OmError) as caught:
        om.read(written(tmp_path / "model.om", WRONG[found]))
    assert found in str(caught.value)
    assert "expected an OM" in str(caught.value)
    assert str(caught.value).count("; ") == 2  # expected; found; next step


def test_refuses_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(om.OmError, match=r"a folder; name the \.om"):
        om.read(tmp_path)
    with pytest.raises(om.OmError, match="No such file"):
        om.read(tmp_path / "none.om")


def test_reads_what_a_header_says(tmp_path):
    content = fake_om.header(5, name=b"edsr_bs1", user=b"EMULATED BY SIGNOFF") + b"12345"
    header = om.read(written(tmp_path / "m.om", content))
    assert header == om.Header(0x10000000, "edsr_bs1", "EMULATED BY SIGNOFF", 1, True, "")


@pytest.mark.parametrize("rest", [b"", b"123456"])
def test_only_warns_of_another_length_because_newer_writers_keep_it_elsewhere(tmp_path, rest):
    header = om.read(written(tmp_path / "m.om", fake_om.header(5) + rest))
    assert f"states 5 bytes after it, and {len(rest)} are there" in header.warning
    assert not header.emulated


def test_its_layout_is_the_documented_one():
    # offsets of ascend.md 7.1
    header = fake_om.header(7, name=b"N", user=b"U")
    assert len(header) == om.LAYOUT.size == om.SIZE
    assert struct.unpack_from("<I", header, 76) == (7,)
    assert (header[84:85], header[120:121]) == (b"N", b"U")
    assert struct.unpack_from("<I", header, 156) == (1,)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b'{"soc_version": "Ascend310P3"}', "Ascend310P3"),
        (b"\nAscend310P3\n\tAscend310P \x09Ascend310", "Ascend310P3"),  # with families
        (b"\x12\x09Ascend310B1x\x03", "Ascend310"),  # the byte after a protobuf text is no letter of it
        (b"\x12\x0bAscend310B1\x03", "Ascend310B1"),
        (b"Ascend910B3", "Ascend910B3"),
        (b"Ascend310P3, Ascend910B", ""),  # two that contradict one another
        (b"ascend310", ""),
        (b"", ""),
    ],
)
def test_hints_at_the_soc_only_where_one_is_clear(tmp_path, content, hint):
    assert om.soc_hint(written(tmp_path / "m.om", fake_om.header(len(content)) + content)) == hint


def test_looks_for_the_soc_in_the_first_megabytes_only(tmp_path):
    content = bytes(om.HINT_BYTES) + b"Ascend310P3"
    assert om.soc_hint(written(tmp_path / "m.om", fake_om.header(len(content)) + content)) == ""


@given(content=st.one_of(st.binary(max_size=400), st.binary(max_size=400).map(lambda rest: fake_om.header(0) + rest)))
def test_any_bytes_are_a_header_or_an_error_with_words(tmp_path_factory, content):
    path = written(tmp_path_factory.getbasetemp() / "any.om", content)
    if content.startswith(om.MAGIC) and len(content) >= om.SIZE:
        om.soc_hint(path)
    else:
        with pytest.raises(om.OmError, match="expected an OM"):
            om.soc_hint(path)
