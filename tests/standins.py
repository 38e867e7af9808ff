"""The stand-ins of the vendors' tools: called in this process, which is fast, or started as the harness starts them."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EMULATOR = Path(__file__).resolve().parents[1] / "fixtures" / "emulator"


@dataclass(frozen=True)
class Ended:
    """What a call came to. `error` is what it printed on standard error."""

    status: int
    output: str
    error: str = ""

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


class Tool:
    """One tool in a folder of its own, with a scenario."""

    def __init__(self, module: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        for name in ("TUNE_BANK_PATH", "ASCEND_CACHE_PATH", "ASCEND_SLOG_PRINT_TO_STDOUT", "SIGNOFF_EMULATOR_SOC"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(folder / "home"))
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(EMULATOR / "site")
        self._module = importlib.import_module(module)
        self.scenario()

    def scenario(self, **keys: Any) -> None:
        """Set what is pretended."""
        path = self.folder / "scenario.json"
        path.write_text(json.dumps(keys))
        self._monkeypatch.setenv("SIGNOFF_EMULATOR_SCENARIO", str(path))

    def __call__(self, *argv: str) -> Ended:
        """Run a command line in this process."""
        self._capsys.readouterr()
        status = self._module.main(list(argv))
        said = self._capsys.readouterr()
        return Ended(status, said.out, said.err)

    def load(self, name: str) -> Any:
        """Return a neighbour of the tool's module."""
        return importlib.import_module(name)


def start(
    tool: str, *argv: str, cwd: Path, scenario: dict[str, Any] | None = None, **env: str
) -> subprocess.Popen[str]:
    """Start the executable itself, as the harness does: nothing of this process but the interpreter's path."""
    path = cwd / "scenario.json"
    path.write_text(json.dumps(scenario or {}))
    return subprocess.Popen(
        [str(EMULATOR / "bin" / tool), *argv],
        cwd=cwd,
        env={
            "PATH": os.defpath,
            "HOME": str(cwd / "home"),
            "SIGNOFF_EMULATOR_PYTHON": sys.executable,
            "SIGNOFF_EMULATOR_SCENARIO": str(path),
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(tool: str, *argv: str, cwd: Path, scenario: dict[str, Any] | None = None, **env: str) -> Ended:
    """Run the executable itself to its end."""
    with start(tool, *argv, cwd=cwd, scenario=scenario, **env) as process:
        output, error = process.communicate(timeout=60)
    return Ended(process.returncode, output, error)
