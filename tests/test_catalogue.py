"""A folder is a registry, and folders of a user's own extend it; every mistake in one names the file and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures import catalogue
from fixtures.backend import Backend
from fixtures.catalogue import CatalogueError

pytestmark = pytest.mark.usefixtures("registries")

CHECKOUT = Path(__file__).resolve().parents[1]
BACKEND = "from fixtures.backend import Backend\nBACKEND = Backend({name!r}, runtime='onnxruntime')\n"


@pytest.fixture
def mine(tmp_path) -> Path:
    """Return a folder with one backend, `mine`."""
    write(tmp_path / "mine", "backends/mine.py", BACKEND.format(name="mine"))
    return tmp_path / "mine"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / "fixtures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path.resolve()


def test_what_ships_is_found_by_file_name():
    assert set(catalogue.entries("model")) == {"edsr", "enet"}
    assert set(catalogue.entries("data set")) == {"cityscapes", "div2k"}
    assert {"psnr", "miou", "top1"} <= set(catalogue.entries("metric"))
    assert {"torch", "onnxruntime", "openvino"} <= set(catalogue.entries("runtime"))
    assert catalogue.find("model", "edsr").name == "edsr"


def test_every_registry_can_be_read():
    for kind in catalogue.REGISTRIES:
        assert list(catalogue.entries(kind)) == sorted(catalogue.entries(kind))


def test_every_name_that_a_model_gives_is_known():
    for model in catalogue.entries("model").values():
        catalogue.find("data set", model.dataset)
        catalogue.find("metric", model.metric)


def test_every_backend_names_a_runtime_that_is_known():
    for backend in catalogue.entries("backend").values():
        catalogue.find("runtime", backend.runtime)


def test_a_folder_of_ones_own_adds_to_what_ships(mine):
    before = set(catalogue.entries("backend"))
    catalogue.extend([mine])
    assert set(catalogue.entries("backend")) == before | {"mine"}
    assert catalogue.find("backend", "mine") == Backend("mine", runtime="onnxruntime")


def test_a_folder_named_twice_counts_once(mine, tmp_path):
    (tmp_path / "link").symlink_to(mine)
    catalogue.extend([mine, mine])
    catalogue.extend([mine / ".." / "mine", tmp_path / "link"])
    assert "mine" in catalogue.entries("backend")


def test_the_checkout_itself_may_be_named():
    catalogue.extend([CHECKOUT])
    assert "edsr" in catalogue.entries("model")


def test_the_checkout_may_be_reached_by_a_link_and_be_named_by_its_place(tmp_path, monkeypatch):
    from fixtures import models

    (tmp_path / "link").symlink_to(CHECKOUT)
    monkeypatch.setattr(models, "__path__", [str(tmp_path / "link" / "fixtures" / "models")])
    catalogue.extend([CHECKOUT])
    assert "edsr" in catalogue.entries("model")


def test_a_file_with_an_underscore_serves_its_neighbours_and_is_no_variant(mine):
    write(mine, "backends/_shared_by_mine.py", "RUNTIME = 'openvino'")
    text = "from fixtures.backends._shared_by_mine import RUNTIME\n" + BACKEND.replace("'onnxruntime'", "RUNTIME")
    write(mine, "backends/mine.py", text.format(name="mine"))
    catalogue.extend([mine])
    assert catalogue.find("backend", "mine").runtime == "openvino"
    assert "_shared_by_mine" not in catalogue.entries("backend")


def test_metrics_of_ones_own_lie_below_acceptance(tmp_path):
    (tmp_path / "acceptance" / "metrics").mkdir(parents=True)
    (tmp_path / "acceptance" / "metrics" / "lucky.py").write_text("class Lucky:\n    unit = 'points'\nMETRIC = Lucky\n")
    catalogue.extend([tmp_path])
    assert catalogue.find("metric", "lucky").unit == "points"


def test_refuses_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CatalogueError, match=r"missing: expected a folder, found nothing; check --catalogue"):
        catalogue.extend([tmp_path / "missing"])


def test_refuses_a_file_in_place_of_a_folder(mine):
    with pytest.raises(CatalogueError, match=r"mine\.py: expected a folder"):
        catalogue.extend([mine / "fixtures" / "backends" / "mine.py"])


def test_refuses_a_folder_that_holds_none_of_the_registries(mine):
    with pytest.raises(CatalogueError, match=r"at least one of fixtures/models, .*; found none of them"):
        catalogue.extend([mine / "fixtures"])  # one level too deep


def test_refuses_a_file_without_its_constant(mine):
    path = write(mine, "backends/mine.py", "BACKENDS = []\n")
    catalogue.extend([mine])
    with pytest.raises(CatalogueError) as caught:
        catalogue.entries("backend")
    assert str(caught.value).startswith(f"{path}: expected `BACKEND = ...`, the backend this file is for")


def test_refuses_a_constant_under_another_name(mine):
    path = write(mine, "backends/mine.py", BACKEND.format(name="yours"))
    catalogue.extend([mine])
    with pytest.raises(CatalogueError) as caught:
        catalogue.entries("backend")
    assert str(caught.value) == f"{path}: BACKEND.name is 'yours'; expected 'mine', the name of the file"


@pytest.mark.parametrize("name", ["torch", "_edsr"])
def test_refuses_a_name_defined_twice_and_names_both_files(mine, name):
    """A file with an underscore too: Python would import ours for both."""
    folder, kind = ("backends", "backend") if name == "torch" else ("models", "model")
    path = write(mine, f"{folder}/{name}.py", BACKEND.format(name=name))
    catalogue.extend([mine])
    with pytest.raises(CatalogueError) as caught:
        catalogue.entries(kind)
    ours = CHECKOUT / "fixtures" / folder / f"{name}.py"
    assert str(caught.value) == f"{kind} {name!r} is defined twice: in {ours} and in {path}; rename one"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import no_such_package\n", "ModuleNotFoundError at line 1: No module named 'no_such_package'"),
        ("\nBACKEND = 1 / 0\n", "ZeroDivisionError at line 2: division by zero"),
        ("BACKEND = (\n", "SyntaxError: '(' was never closed (mine.py, line 1)"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_the_line(mine, text, problem):
    path = write(mine, "backends/mine.py", text)
    catalogue.extend([mine])
    with pytest.raises(CatalogueError) as caught:
        catalogue.entries("backend")
    assert str(caught.value) == f"{path}: expected a file that can be imported; found {problem}"


def test_an_unknown_name_gives_the_nearest_known_one():
    with pytest.raises(CatalogueError, match=r"^unknown model 'edrs'; did you mean 'edsr'\? Known: edsr, enet$"):
        catalogue.find("model", "edrs")


def test_a_name_like_no_other_gives_what_is_known():
    with pytest.raises(CatalogueError, match=r"^unknown metric 'x'\. Known: miou, psnr, top1$"):
        catalogue.find("metric", "x")
    assert catalogue.unknown("writer", "html", []) == "unknown writer 'html'. Known: none"
