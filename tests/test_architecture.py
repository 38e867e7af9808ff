"""The house as design.md draws it: who may import whom, what collection may load, what a host without torch can do."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures import catalogue
from reports.ledger import Ledger
from tests import records

CHECKOUT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "fixtures": {"fixtures"},
    "reports": {"fixtures", "reports"},
    "acceptance": {"fixtures", "reports", "acceptance"},
    "bench": {"fixtures", "reports", "bench"},
}
HOUSE = {*MAY_IMPORT, "conftest", "tests"}
HEAVY = (
    *("torch", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "cuda", "pynvml", "aclruntime", "ray"),
    *("scipy", "cv2", "PIL", "hypothesis"),
)
BLOCKED = ("torch", "onnxruntime", "cv2")
BACKENDS = tuple(catalogue.entries("backend"))
NAMED_AFTER_NOTHING = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
# As on a host where they were never installed: neither modules nor metadata.
SITECUSTOMIZE = """
import sys
from importlib import metadata

BLOCKED = {names!r}
version = metadata.version

def known(name):
    if name in BLOCKED:
        raise metadata.PackageNotFoundError(name)
    return version(name)

metadata.version = known
sys.modules.update(dict.fromkeys(BLOCKED))
"""


def files(*packages: str) -> list[Path]:
    found = [path for package in packages for path in sorted((CHECKOUT / package).rglob("*.py"))]
    # Stand-ins of tools run in processes of their own, and never in ours.
    found = [path for path in found if "emulator" not in path.parts]
    assert len(found) >= len(packages)
    return found


def name(path: Path) -> str:
    return ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and module of every import, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package):
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {module}"
        for path in files(package)
        for line, module in imports(path)
        if module.startswith(".") or (module.partition(".")[0] in HOUSE - MAY_IMPORT[package])
    ]
    assert not wrong


def test_an_init_says_what_lives_there_and_nothing_else():
    for path in (found for package in MAY_IMPORT for found in (CHECKOUT / package).rglob("__init__.py")):
        tree = ast.parse(path.read_text())
        assert len(tree.body) == 1, path
        assert ast.get_docstring(tree), path


def test_every_folder_of_code_is_a_package():
    """Else pytest's importlib mode and mypy each guess another name for its modules."""
    folders = {path.parent for path in files(*MAY_IMPORT)}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_no_file_is_named_after_nothing():
    named = [path.stem.strip("_") for path in files(*MAY_IMPORT, "tests")]
    assert not NAMED_AFTER_NOTHING.intersection(named)


@pytest.fixture
def blocked(tmp_path):
    """Return a function that runs Python in the checkout as on a host where some packages are not installed."""

    def run(*arguments: str, without: tuple[str, ...] = BLOCKED) -> subprocess.CompletedProcess[str]:
        site = tmp_path / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(SITECUSTOMIZE.format(names=without))
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("SIGNOFF_", "PYTEST_"))}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=CHECKOUT,
            env={**environment, "PYTHONPATH": str(site), "SIGNOFF_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def pytest_in(run, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return run("-m", "pytest", "-p", "no:cacheprovider", "--catalogue=tests/digits", *arguments, **options)


def test_collecting_loads_no_vendor_library(blocked, tmp_path):
    (tmp_path / "loaded.py").write_text(
        "import json, sys\n"
        "def pytest_unconfigure(config):\n"
        "    print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    start = f"import sys, pytest; sys.path[:0] = [{str(tmp_path)!r}, '.']; sys.exit(pytest.main(sys.argv[1:]))"
    done = blocked("-c", start, "-p", "loaded", "--collect-only", "-q", "--catalogue=tests/digits", without=())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bench/test_throughput.py::test_throughput[digits-bs1-onnxruntime]" in done.stdout
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"fixtures", "reports", "acceptance", "bench"} <= loaded
    assert not loaded.intersection(HEAVY)


def test_every_module_imports_where_no_vendor_library_is_installed(blocked):
    """A model's torch code and the training scripts apart, which are read only where torch is."""
    modules = [
        name(path).removesuffix(".__init__")
        for path in files(*MAY_IMPORT)
        if not (path.parent.name == "models" and path.stem.startswith("_") and path.stem != "__init__")
        and path.parent.name != "training"
    ]
    importing = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    done = blocked("-c", importing, *modules, without=HEAVY)
    assert done.returncode == 0, done.stderr


def test_without_torch_onnxruntime_and_opencv_it_collects(blocked):
    done = pytest_in(blocked, "--collect-only", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "acceptance/test_accuracy.py::test_accuracy[edsr-bs1-onnxruntime]" in done.stdout


def test_without_torch_onnxruntime_and_opencv_it_plans(blocked, tmp_path):
    done = pytest_in(blocked, "--plan", "--backend", "torch,onnxruntime")
    assert done.returncode == 1, done.stdout + done.stderr
    planned = sorted(" ".join(line.split()) for line in done.stdout.splitlines() if line.startswith("  "))
    assert planned == [
        "compare edsr-256-bs1-openvino-over-onnxruntime, edsr-256-bs4-openvino-over-onnxruntime, "
        "enet-bs1-openvino-over-onnxruntime, enet-bs4-openvino-over-onnxruntime not run: "
        "openvino is not among --backend",
        "error onnxruntime, 8 cases onnxruntime is not installed; pip install onnxruntime",
        "error torch, 1 case digits is given as an ONNX file only; leave it out: --backend onnxruntime",
        "error torch, 3 cases torch is not installed; pip install -e .",
    ]
    assert not (tmp_path / "home").exists()


def test_without_any_runtime_every_backend_takes_one_line_and_nothing_is_green(blocked, tmp_path):
    options = ("-m", "accuracy or perf", "--model", "edsr,enet", f"--record={tmp_path / 'evidence.jsonl'}")
    run = pytest_in(blocked, *options, without=(*BLOCKED, "openvino"))
    lines = [" ".join(line.split()) for line in run.stdout.splitlines() if line.startswith("not run")]
    heads = [line.removeprefix("not run ").partition(" cases ")[0].rpartition(" ")[0] for line in lines]
    named = [name for head in heads for name in head.split(", ")]
    assert sorted(named) == sorted(BACKENDS)  # those with one reason share a line
    assert {
        "not run onnxruntime 6 cases onnxruntime is not installed; pip install onnxruntime",
        "not run openvino 10 cases openvino is not installed; pip install -e '.[openvino]'",
        "not run torch 3 cases torch is not installed; pip install -e .",
    } <= set(lines)
    assert run.returncode == 6, run.stdout  # nothing was measured or judged


def test_without_torch_onnxruntime_and_opencv_it_shows_evidence(blocked, tmp_path):
    path = tmp_path / "evidence.jsonl"
    ledger = Ledger(path)
    ledger.add(records.verdict("passed"))
    ledger.close(0)
    done = blocked("-m", "reports", "show", str(path))
    assert done.returncode == 0, done.stderr
    assert records.verdict("passed").reason in done.stdout
