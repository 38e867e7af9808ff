"""What the tests of the harness share: running pytest inside pytest, with this checkout importable."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures import catalogue

pytest_plugins = ["pytester"]

CHECKOUT = Path(__file__).resolve().parents[1]

INI = """
[pytest]
addopts = --import-mode=importlib --strict-markers -p no:hypothesispytest -p no:cacheprovider
filterwarnings = error
markers =
    accuracy: judges whether an engine is right
    perf: times an engine
"""


def pytest_configure() -> None:
    """Hear Ctrl-C: a shell that runs us in the background has told us, and whom we start, to ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def inside(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return an empty folder to run pytest in: this checkout importable, none of the caller's own options."""
    for name in [name for name in os.environ if name.startswith(("SIGNOFF_", "PYTEST_ADDOPTS", "PYTEST_XDIST"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    pytester.makeini(INI)
    return pytester


@pytest.fixture
def registries() -> Iterator[None]:
    """Let a test add to the registries; afterwards they are as they were."""
    packages = {name: importlib.import_module(name) for name, _ in catalogue.REGISTRIES.values()}
    before = {name: list(package.__path__) for name, package in packages.items()}
    catalogue.entries.cache_clear()
    yield
    for name, package in packages.items():
        package.__path__[:] = before[name]
        for full in [full for full in sys.modules if full.startswith(f"{name}.")]:
            if str(Path(str(sys.modules[full].__file__)).parent) not in before[name]:
                delattr(package, full.removeprefix(f"{name}."))
                del sys.modules[full]
    catalogue.entries.cache_clear()
