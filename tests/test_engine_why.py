"""Why an engine is not stored: every input that differs is found, the one that matters most first."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fixtures.engines import Engine, Store, key_of
from fixtures.store.engine_why import ABSENT, ORDER, differences, nearest

RECIPE: dict[str, Any] = {
    "compiler": "ascend",
    "model": "edsr",
    "checkpoint": "ab" * 32,
    "network": "cd" * 32,
    "graph": "ef" * 32,
    "size": 256,
    "batch": 4,
    "precision": "fp16",
    "options": {
        "precision_mode": "allow_fp32_to_fp16",
        "fusion_switch_file": {"file": "fusion.cfg", "sha256": "12" * 32},
        "shapes": [[1, 3], [4, 3]],
        "tuner": None,
    },
    "target": {"soc_version": "Ascend310", "cores": 2},
    "toolchain": {"cann": "7.0.0", "opp": {"transpose.py": "34" * 32}},
    "code": "01" * 32,
    "emulated": True,
}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        for name in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[name], (*path, name))
    else:
        yield path


def changed(recipe: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a copy with another value at a place; ABSENT takes the place away."""
    copied = copy.deepcopy(recipe)
    place: Any = copied
    for part in path[:-1]:
        place = place[part]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copied


def engine(recipe: dict[str, Any], built: str = "2026-01-01T00:00:00Z") -> Engine:
    return Engine(Path("e"), "", key_of(recipe), recipe, 1.0, built=built)


@pytest.mark.parametrize("value", ["another", ABSENT], ids=["another", "missing"])
@pytest.mark.parametrize("path", list(leaves(RECIPE)), ids=lambda path: ".".join(map(str, path)))
def test_every_input_that_differs_is_a_miss_with_that_input_as_the_reason(
    tmp_path: Path, path: tuple[Any, ...], value: Any
) -> None:
    store = Store(tmp_path)
    store.get(RECIPE, "e.bin", lambda target: target.write_bytes(b"engine") and None)
    here = changed(RECIPE, path, value)
    assert store.find(here, "e.bin") is None
    found = store.nearest(here)
    if path == ("model",):
        assert found is None
        return
    assert found is not None
    assert found[0].recipe == RECIPE
    difference = found[1]
    assert difference is not None
    # Where one of a list is taken away, those behind it move up.
    assert difference.path[: len(path)] == path or isinstance(path[-1], int)
    assert str(difference).startswith(f"{path[0]}")
    assert difference.here != difference.stored


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("toolchain", "cann"), "8.0.0", "toolchain.cann: this host has 8.0.0, the stored engine was built with 7.0.0"),
        (("batch",), 16, "batch: this case has 16, the stored engine has 4"),
        (("precision",), "fp32", "precision: this case is in fp32, the stored engine is in fp16"),
        (
            ("target", "soc_version"),
            "Ascend310P3",
            "target.soc_version: this case is for Ascend310P3, the stored engine is for Ascend310",
        ),
        (("compiler",), "tensorrt", "compiler: this case is built by tensorrt, the stored engine was built by ascend"),
        (
            ("options", "shapes", 1, 0),
            8,
            "options.shapes[1][0]: this case asks for 8, the stored engine was built with 4",
        ),
        (
            ("options", "tuner"),
            ABSENT,
            "options.tuner: this case asks for nothing, the stored engine was built with null",
        ),
        (
            ("options", "fusion_switch_file"),
            ABSENT,
            "options.fusion_switch_file: this case asks for nothing, the stored engine was built with fusion.cfg "
            "(12121212)",
        ),
        (("checkpoint",), "99" * 32, "checkpoint: the weights are another (99999999 here, abababab stored)"),
        (("code",), "99" * 32, "code: the code that builds it is another (99999999 here, 01010101 stored)"),
        (("emulated",), ABSENT, "emulated: this case is not, the stored engine is"),
    ],
)
def test_the_reason_is_a_sentence(path: tuple[Any, ...], value: Any, said: str) -> None:
    found = nearest(changed(RECIPE, path, value), [engine(RECIPE)])
    assert found is not None
    assert str(found[1]) == said


def test_of_several_inputs_that_differ_the_one_that_matters_most_is_told() -> None:
    far = changed(changed(RECIPE, ("size",), 480), ("code",), "x")
    found = nearest(changed(far, ("batch",), 1), [engine(RECIPE)])
    assert found is not None
    assert found[1] is not None
    assert found[1].name == "size"


@pytest.mark.parametrize(("here", "stored"), [(1, True), (1, 1.0), (0, False), (None, ABSENT), ("1", 1)])
def test_values_that_only_python_takes_for_equal_differ(here: Any, stored: Any) -> None:
    both = [{"options": {} if value is ABSENT else {"x": value}} for value in (here, stored)]
    assert [each.name for each in differences(*both)] == ["options.x"]


def test_a_reason_holds_nothing_that_moves_the_cursor_and_is_not_endless() -> None:
    found = nearest(RECIPE, [engine(changed(RECIPE, ("options", "tuner"), "\x1b[2J" + "x" * 1000))])
    assert found is not None
    assert str(found[1]).isprintable()
    assert len(str(found[1])) < 250


@pytest.mark.parametrize(("earlier", "later"), list(itertools.pairwise(ORDER[2:])))
def test_the_nearest_differs_as_late_in_the_order_as_can_be(earlier: str, later: str) -> None:
    far, near = (engine(changed(RECIPE, (name,), "another")) for name in (earlier, later))
    for engines in ((far, near), (near, far)):
        found = nearest(RECIPE, engines)
        assert found is not None
        assert found[0] is near
        assert found[1] is not None
        assert found[1].name == later


def test_of_equals_the_one_with_fewer_differences_and_then_the_newest_is_nearest() -> None:
    two = engine(changed(changed(RECIPE, ("batch",), 1), ("code",), "x"), built="2026-09-01")
    old = engine(changed(RECIPE, ("batch",), 1), built="2026-01-01")
    new = engine(changed(RECIPE, ("batch",), 2), built="2026-02-01")
    assert (nearest(RECIPE, [two, old, new]) or [None])[0] is new
    assert (nearest(RECIPE, [two, old]) or [None])[0] is old


def test_exports_and_references_are_no_neighbours_of_engines() -> None:
    export = {"runtime": "export", "model": "edsr", "torch": "2.7"}
    assert nearest(RECIPE, [engine(export)]) is None
    found = nearest({**export, "torch": "2.8"}, [engine(RECIPE), engine(export)])
    assert found is not None
    assert str(found[1]) == "torch: this host has 2.8, the stored engine was built with 2.7"


def test_what_cannot_be_told_here_counts_for_nothing() -> None:
    recipe = changed(changed(RECIPE, ("graph",), ABSENT), ("toolchain",), ABSENT)
    found = nearest(recipe, [engine(RECIPE)], ignore=("graph", "toolchain"))
    assert found is not None
    assert found[1] is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
RECIPES = st.dictionaries(st.sampled_from([*ORDER, "torch", "opset"]), VALUES, max_size=5)


@given(RECIPES, RECIPES)
def test_recipes_differ_exactly_where_their_keys_do(one: dict[str, Any], other: dict[str, Any]) -> None:
    found = list(differences(one, other))
    assert bool(found) == (key_of(one) != key_of(other))
    assert [(each.path, each.stored, each.here) for each in differences(other, one)] == [
        (each.path, each.here, each.stored) for each in found
    ]
    assert all(str(each).isprintable() for each in found)


@given(RECIPES, st.data())
def test_one_leaf_that_differs_is_the_one_difference(recipe: dict[str, Any], data: st.DataObject) -> None:
    assume(recipe)
    path = data.draw(st.sampled_from(list(leaves(recipe))))
    value = data.draw(st.integers(5, 9))
    (found,) = differences(changed(recipe, path, value), recipe)
    assert found.path == path
    assert json.dumps(found.here) == json.dumps(value)
