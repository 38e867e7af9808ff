"""What the tests of the harness share: running pytest inside pytest, with this checkout importable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


@pytest.fixture
def inside(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return an empty folder to run pytest in: this checkout importable, none of the caller's own options."""
    for name in [name for name in os.environ if name.startswith(("SIGNOFF_", "PYTEST_ADDOPTS", "PYTEST_XDIST"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    pytester.makeini(INI)
    return pytester
