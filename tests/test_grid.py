"""The cases of a selection."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures import catalogue, grid
from fixtures.model import SAMPLE
from fixtures.selection import Selection

DIGITS = Path(__file__).parent / "digits"
EVERYTHING = Selection(
    profile="sample",
    models=("edsr", "enet"),
    backends=(),
    batches=(),
    sizes=(),
    required=(),
    data={},
    weights={},
    subset=None,
    store=None,
    catalogues=(),
)


def selected(**changes: Any) -> Selection:
    return replace(EVERYTHING, **changes)


def ids(cases) -> list[str]:
    return [case.id for case in cases]


def test_accuracy_is_judged_at_the_size_of_the_figure_alone():
    assert ids(grid.accuracy(selected(models=("edsr",), backends=("onnxruntime", "torch")))) == [
        "edsr-bs1-onnxruntime",
        "edsr-bs1-torch",
        "edsr-bs4-onnxruntime",
    ]


def test_what_is_timed_has_the_models_sizes_and_shows_them():
    cases = grid.timed(selected(backends=("onnxruntime",)))
    assert ids(cases) == [
        "edsr-256-bs1-onnxruntime",
        "edsr-256-bs4-onnxruntime",
        "enet-bs1-onnxruntime",
        "enet-bs4-onnxruntime",
    ]
    assert [case.size for case in cases] == [256, 256, 480, 480]


def test_everything_timed_is_compared_with_fp32_too():
    """A speed without shown accuracy is none."""
    timed, compared = set(grid.timed(EVERYTHING)), set(grid.parity(EVERYTHING))
    assert {case for case in timed if case.backend != grid.REFERENCE} <= compared
    assert {case for case in grid.accuracy(EVERYTHING) if case.backend != grid.REFERENCE} <= compared


def test_the_reference_is_not_compared_with_itself():
    assert not [case for case in grid.parity(EVERYTHING) if case.backend == "torch"]
    assert ids(grid.parity(selected(models=("enet",), backends=("torch",), batches=(1, 2)))) == ["enet-bs2-torch"]


def test_a_backend_limits_the_batches_unless_others_are_asked_for():
    assert {case.batch for case in grid.accuracy(selected(backends=("torch",)))} == {1}
    assert {case.batch for case in grid.accuracy(selected(backends=("torch",), batches=(3, 16)))} == {3, 16}


def test_sizes_that_are_asked_for_are_timed_and_compared_but_not_judged():
    chosen = selected(models=("edsr",), backends=("openvino",), batches=(1,), sizes=(128, 240))
    assert ids(grid.timed(chosen)) == ["edsr-128-bs1-openvino", "edsr-bs1-openvino"]
    assert ids(grid.parity(chosen)) == ["edsr-128-bs1-openvino", "edsr-bs1-openvino"]
    assert ids(grid.accuracy(chosen)) == ["edsr-bs1-openvino"]


def test_no_case_is_there_twice():
    for cases in (grid.accuracy(EVERYTHING), grid.parity(EVERYTHING), grid.timed(EVERYTHING)):
        assert len(set(cases)) == len(set(ids(cases))) == len(cases)


def test_data_in_place_of_the_profiles_have_a_size_of_their_own(tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(SAMPLE / "sr_photos", photos)
    assert {case.size for case in grid.accuracy(selected(models=("edsr",), data={"div2k": photos}))} == {240}
    official = selected(models=("edsr",), profile="official")
    assert {case.size for case in grid.accuracy(official)} == {1020}
    assert {case.size for case in grid.accuracy(replace(official, data={"div2k": photos}))} == {240}


def test_data_that_cannot_be_read_leave_the_grid_as_it_is(tmp_path):
    """What is wrong with them is said when they are opened, once."""
    for folder in (tmp_path / "missing", tmp_path):
        assert ids(grid.accuracy(selected(data={"div2k": folder}))) == ids(grid.accuracy(EVERYTHING))


@pytest.mark.usefixtures("registries")
def test_a_model_of_ones_own_has_its_cases():
    catalogue.extend([DIGITS])
    chosen = selected(models=("digits",), backends=("onnxruntime",))
    assert ids(grid.accuracy(chosen)) == ids(grid.timed(chosen)) == ["digits-bs1-onnxruntime", "digits-bs4-onnxruntime"]
