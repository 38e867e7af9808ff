"""ONNX packs: made where torch is, carried over, checked whole, and used where it is not."""

from __future__ import annotations

import importlib.util
import json
import math
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fixtures import packfile, packs
from fixtures.case import Case
from fixtures.engines import Store
from fixtures.model import Checkpoint, Model
from fixtures.packs import MANIFEST, PackError, pack, unpack
from fixtures.sources import Sources
from fixtures.store import engines_command
from fixtures.tensorfile import Writer
from tests.convolutions import SIZE, register, tiny

CASE = Case("sample", "tiny", SIZE, 1, "onnxruntime")
FIGURES = {"value": 50.0, "unit": "%", "per_image": {"a": math.inf}, "per_class": {}, "notes": ["one"]}


CODE = {"dataset": "1", "postprocess": "2", "metric": "3"}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(packs, "judging_code", lambda model: CODE)
    return register(tiny(tmp_path), monkeypatch)


@pytest.fixture
def made(tmp_path: Path, model: Model) -> Sources:
    return Sources(Store(tmp_path / "engines"))


def measure(
    made: Sources, data: str, figures: dict[str, Any] | None = FIGURES, metric: str = "3", **changes: Any
) -> Path:
    """Put a reference into the store, as the first accuracy run does."""

    def write(target: Path) -> None:
        with Writer(target, 1) as writer:
            writer.add("a", np.zeros(2))
            writer.metadata["figures"] = json.dumps(figures)

    engine = {"model": "tiny", "checkpoint": made.source(CASE).identity["checkpoint"], **changes}
    recipe = {"runtime": "reference", "engine": engine, "data": data, "code": {**CODE, "metric": metric}}
    return made.store.get(recipe, packs.REFERENCE, write).path


def make(made: Sources, model: Model, target: Path, profile: str = "sample") -> dict[str, Any]:
    cases = [replace(CASE, profile=profile, batch=batch) for batch in model.batches]
    return pack(model, profile, [(case, made.source(case)) for case in cases], made.store, target)


@pytest.fixture
def packed(made: Sources, model: Model, tmp_path: Path) -> Path:
    measure(made, "photos")
    make(made, model, tmp_path / "tiny.zip")
    return tmp_path / "tiny.zip"


def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else original(name, *rest)
    )


# There and back


def test_a_case_is_served_from_a_pack_where_torch_is_absent(
    packed: Path, made: Sources, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = made.source(CASE)
    unpack(packed)
    without_torch(monkeypatch)
    there = Sources(Store(tmp_path / "other"))
    source = there.source(CASE)
    assert source.identity == here.identity
    assert source.graph.read_bytes() == here.graph.read_bytes()
    assert source.graph != here.graph
    # The same graph makes the same engine: what was signed off here is found again there.
    assert there.engine(CASE).key == made.engine(CASE).key
    assert packs.reference(model, CASE, "photos") == (FIGURES, None)
    assert packs.reference(model, CASE, "other photos") == (None, None)


def test_a_pack_unpacked_again_replaces_the_first(packed: Path, model: Model, tmp_path: Path) -> None:
    place = unpack(packed)
    (place / "left over").write_text("")
    assert unpack(packed) == place
    assert not (place / "left over").exists()
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize("name", ["v2.1-final", "INT8", "a_b"])
def test_profiles_of_any_sensible_name_travel(made: Sources, model: Model, tmp_path: Path, name: str) -> None:
    named = replace(model, profiles={**model.profiles, name: model.profiles["sample"]})
    measure(made, "photos")
    pack(named, name, [(CASE, made.source(CASE))], made.store, tmp_path / "x.zip")
    assert unpack(tmp_path / "x.zip") == packs.folder("tiny", name)


@pytest.mark.parametrize("name", ["../evil", "a b", "", ".hidden", "a/b"])
def test_a_name_that_does_not_do_for_a_file_is_refused_where_it_is_packed(
    made: Sources, model: Model, tmp_path: Path, name: str
) -> None:
    with pytest.raises(PackError, match="expected a name of letters, digits"):
        pack(model, name, [], made.store, tmp_path / "x.zip")


def test_names_with_dashes_never_take_each_others_pack(packed: Path, model: Model) -> None:
    place = unpack(packed)
    place.rename(packs.folder("tiny", "a-b"))
    shared = replace(model, name="tiny-a", profiles={"b": model.profiles["sample"]})
    with pytest.raises(PackError, match="expected a pack of tiny-a, profile b; found one of tiny, profile sample"):
        packs.source(shared, replace(CASE, model="tiny-a", profile="b"))


def test_only_sound_references_of_these_weights_are_packed(made: Sources, model: Model, tmp_path: Path) -> None:
    measure(made, "photos")
    measure(made, "crops", figures=None)
    measure(made, "theirs", checkpoint="0" * 64)
    measure(made, "of another model", model="huge")
    damaged = measure(made, "damaged")
    damaged.write_bytes(damaged.read_bytes() + b" ")
    assert set(make(made, model, tmp_path / "x.zip")["references"]) == {"photos"}


def test_a_figure_that_was_not_measured_yet_is_asked_for(made: Sources, model: Model, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="measure it first: pytest -m accuracy --profile sample --model tiny"):
        make(made, model, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def test_a_pack_that_cannot_be_written_is_explained(made: Sources, model: Model, tmp_path: Path) -> None:
    measure(made, "photos")
    with pytest.raises(PackError, match=r"expected to write the pack there; found .*; name another FILE with --to"):
        make(made, model, tmp_path / "no" / "such" / "x.zip")


# What is refused


def rewritten(packed: Path, change: Callable[[dict[str, Any], dict[str, bytes]], object]) -> Path:
    """Write the pack again with manifest or members changed."""
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop(MANIFEST))
    change(manifest, members)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(MANIFEST, json.dumps(manifest))
        for name, content in members.items():
            archive.writestr(name, content)
    return packed


def refusal(path: Path) -> str:
    with pytest.raises(PackError) as raised:
        unpack(path)
    assert not packs.folder("tiny", "sample").exists()
    left = list((packs.home.home() / "packs").rglob("*")) if (packs.home.home() / "packs").exists() else []
    assert not [path for path in left if path.is_file()]
    return str(raised.value)


GRAPH = f"tiny-{SIZE}-bs1.onnx"


@pytest.mark.parametrize(
    "name", ["../../evil.onnx", "/tmp/evil-8-bs1.onnx", "..\\evil-8-bs1.onnx", "a/../b-8-bs1.onnx", "x.sh"]
)
@pytest.mark.parametrize("declared", [True, False])
def test_refuses_a_member_that_would_land_elsewhere(packed: Path, name: str, declared: bool) -> None:
    def change(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        members[name] = members[GRAPH]
        if declared:
            manifest["graphs"][name] = manifest["graphs"][GRAPH]

    assert "expected exactly the members that a sound pack.json names" in refusal(rewritten(packed, change))


@pytest.mark.parametrize("field", ["model", "profile"])
@pytest.mark.parametrize("value", ["../../evil", "/tmp", "..", "", "a/b", 7, None, ["x"]])
def test_refuses_a_place_outside_the_packs(packed: Path, field: str, value: object) -> None:
    assert "sound pack.json" in refusal(rewritten(packed, lambda manifest, _: manifest.update({field: value})))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest, members: members.pop(GRAPH),
        lambda manifest, members: manifest["graphs"].pop(GRAPH),
        lambda manifest, members: manifest.update(graphs=[]),
        lambda manifest, members: manifest.update(graphs={GRAPH: "x"}),
        lambda manifest, members: manifest.update(references={"x": 1}),
        lambda manifest, members: manifest.update(references=None),
        lambda manifest, members: manifest.update(checkpoint=None),
        lambda manifest, members: manifest["graphs"][GRAPH].pop("network"),
    ],
)
def test_refuses_a_manifest_that_does_not_hold_what_it_must(packed: Path, change: Any) -> None:
    assert "sound pack.json" in refusal(rewritten(packed, change))


def test_refuses_two_members_of_one_name(packed: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(GRAPH, b"the second one")
    assert "expected exactly the members" in refusal(packed)


def test_refuses_a_graph_of_another_digest(packed: Path) -> None:
    changed = rewritten(packed, lambda _, members: members.update({GRAPH: members[GRAPH] + b" "}))
    assert f"expected {GRAPH} as pack.json describes it; found another" in refusal(changed)


def test_refuses_a_pack_of_a_newer_schema(packed: Path) -> None:
    message = refusal(rewritten(packed, lambda manifest, _: manifest.update(schema=2)))
    assert "expected pack schema 1 or older; found 2, of a newer signoff" in message


@pytest.mark.parametrize("schema", [None, "new", [1]])
def test_refuses_a_schema_that_is_no_number(packed: Path, schema: object) -> None:
    assert "found none that can be read" in refusal(
        rewritten(packed, lambda manifest, _: manifest.update(schema=schema))
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b"\xff"])
def test_refuses_a_manifest_that_is_none(tmp_path: Path, model: Model, content: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(MANIFEST, content)
    assert "found none that can be read" in refusal(tmp_path / "x.zip")


def test_refuses_an_archive_without_a_manifest(tmp_path: Path, model: Model) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("readme", "hello")
    assert "expected an ONNX pack with a pack.json" in refusal(tmp_path / "x.zip")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_refuses_a_truncated_pack(packed: Path, share: float) -> None:
    whole = packed.read_bytes()
    packed.write_bytes(whole[: int(len(whole) * share)])
    assert "found a file that cannot be read whole" in refusal(packed)


def test_a_pack_with_flipped_bits_is_refused_or_gives_the_same_graphs(packed: Path) -> None:
    whole = packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        graphs = {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}
    refused = 0
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        packed.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            folder = unpack(packed)
        except PackError:
            refused += 1
        else:  # a flipped time stamp is no damage
            assert {name: (folder / name).read_bytes() for name in graphs} == graphs
    assert refused


def test_refuses_what_is_not_there(tmp_path: Path, model: Model) -> None:
    assert "cannot be read whole" in refusal(tmp_path / "missing.zip")


def test_refuses_more_than_the_disk_can_hold_before_it_writes(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packfile.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    assert "expected members below 2 GiB each, for the 0.0 GB free" in refusal(packed)


def test_refuses_a_member_that_claims_more_than_a_graph_can_be(packed: Path) -> None:
    """The directory of the archive is what a bomb would lie in: 4 GB from a few kilobytes."""
    content = bytearray(packed.read_bytes())
    end = content.rindex(b"PK\x05\x06")
    (place,) = struct.unpack_from("<I", content, end + 16)
    while content[place : place + 4] == b"PK\x01\x02":
        name, extra, comment = struct.unpack_from("<HHH", content, place + 28)
        if content[place + 46 : place + 46 + name] != MANIFEST.encode():
            struct.pack_into("<I", content, place + 24, 0xFFFFFFF0)
        place += 46 + name + extra + comment
    packed.write_bytes(content)
    assert "below 2 GiB each" in refusal(packed)


def test_refuses_a_manifest_that_claims_to_be_huge(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packfile, "LARGEST_MANIFEST", 10)
    assert "it claims" in refusal(packed)


def test_a_home_that_cannot_be_written_is_explained(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "file"))
    with pytest.raises(PackError, match=r"expected to unpack tiny\.zip there; found .*Not a directory.*SIGNOFF_HOME"):
        unpack(packed)


# A pack in use


def test_says_what_to_do_where_there_is_neither_torch_nor_a_pack(
    made: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_torch(monkeypatch)
    with pytest.raises(PackError) as raised:
        Sources(made.store).source(CASE)
    message = str(raised.value)
    assert message.startswith("tiny-bs1-onnxruntime: expected torch, or a pack of tiny at ")
    assert "python -m fixtures engines pack tiny --profile sample" in message
    assert "python -m fixtures engines unpack FILE" in message


def test_outputs_travel_where_there_is_no_figure(made: Sources, model: Model, tmp_path: Path) -> None:
    measure(made, "photos")
    kept = measure(made, "crops", figures=None)
    make(made, model, tmp_path / "tiny.zip")
    unpack(tmp_path / "tiny.zip")
    figures, outputs = packs.reference(model, CASE, "crops")
    assert figures is None
    assert outputs is not None
    assert outputs.read_bytes() == kept.read_bytes()
    outputs.write_bytes(b"another")
    with pytest.raises(PackError, match="expected the file that was unpacked"):
        packs.reference(model, CASE, "crops")


def test_a_figure_of_another_metric_is_not_packed(made: Sources, model: Model, tmp_path: Path) -> None:
    measure(made, "photos", metric="another")
    with pytest.raises(PackError, match="expected its fp32 reference figure"):
        make(made, model, tmp_path / "tiny.zip")


def test_weights_named_by_the_user_are_not_replaced_by_a_pack(
    packed: Path, made: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fixtures.checkpoints import CheckpointError

    unpack(packed)
    without_torch(monkeypatch)
    with pytest.raises(CheckpointError, match="expected torch, which exports the weights named with --checkpoint"):
        Sources(made.store, {"tiny": tmp_path / "mine.pt"}).source(CASE)


def test_a_pack_of_other_weights_than_the_profiles_is_refused(
    packed: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(packed)
    retrained = replace(model.profiles["sample"], checkpoint=Checkpoint("x.pt", "1bc95232"))
    with pytest.raises(
        PackError, match="expected a pack of the weights whose sha256 starts with 1bc95232; found one of"
    ):
        packs.source(replace(model, profiles={"sample": retrained}), CASE)


def test_a_case_that_was_not_packed_is_named_with_those_that_were(packed: Path, model: Model) -> None:
    unpack(packed)
    with pytest.raises(PackError, match=rf"has no graph tiny-{SIZE}-bs7\.onnx; it has tiny-{SIZE}-bs1\.onnx, "):
        packs.source(model, replace(CASE, batch=7))


@pytest.mark.parametrize("damage", ["flip", "remove", "manifest"])
def test_an_unpacked_pack_is_verified_before_use(packed: Path, model: Model, damage: str) -> None:
    place = unpack(packed)
    if damage == "flip":
        (place / GRAPH).write_bytes((place / GRAPH).read_bytes() + b" ")
    elif damage == "remove":
        (place / GRAPH).unlink()
    else:
        (place / MANIFEST).write_text("{")
    with pytest.raises(PackError, match="unpack the pack again"):
        packs.source(model, CASE)


# The command


def test_the_command_packs_and_unpacks(
    made: Sources, model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(made, "photos")
    target = tmp_path / "out.zip"
    assert engines_command.main(["pack", "tiny", "--to", str(target), "--engine-cache", str(made.store.root)]) == 0
    assert "2 graphs, 1 fp32 figures" in capsys.readouterr().out
    assert engines_command.main(["unpack", str(target)]) == 0
    assert "unpacked and verified into" in capsys.readouterr().out
    assert packs.reference(model, CASE, "photos") == (FIGURES, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pack", "edrs"], "did you mean 'edsr'"),
        (["pack", "tiny", "--profile", "sampel"], "did you mean 'sample'"),
        (["pack", "tiny"], "expected its fp32 reference figure"),
        (["unpack", "missing.zip"], "expected an ONNX pack"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_message(
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert engines_command.main(arguments) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("*.zip"))
