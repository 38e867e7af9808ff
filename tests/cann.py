"""A stand-in toolkit for tests of the Ascend build: its set_env.sh, and tools that are small scripts of the test."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fixtures.ascend import om

PRELUDE = """#!{python} -IS
import json, os, sys
from pathlib import Path
flags = dict(word[2:].partition("=")[::2] for word in sys.argv[1:])
with open({calls!r}, "a") as calls:
    calls.write(json.dumps({{"argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ)}}) + "\\n")
OM = {om!r}
def write(name=None, content=OM):
    Path(name or flags["output"] + ".om").write_bytes(content)
START = "ATC start working now, please wait for a moment."
SUCCESS = "ATC run success, welcome to the next use."
FAILED = "ATC run failed, Please check the detail log, Try 'atc --help' for more information"
"""

GOOD = "print(START); write(); print(SUCCESS)"


def an_om(rest: bytes = b"MODEL_DEF Ascend310", stated: int | None = None) -> bytes:
    """Return an OM of a header and some bytes."""
    length = len(rest) if stated is None else stated
    fields = (om.MAGIC, om.SIZE, 0x10000000, b"", length, 0, 0, 1, 0, b"model", 0, b"", 0, 1, b"", 0, b"")
    return om.LAYOUT.pack(*fields) + rest


@dataclass(frozen=True)
class Toolkit:
    """A folder with bin, opp and versions, and the script that sets it up."""

    root: Path

    @property
    def script(self) -> Path:
        """What --ascend-env names."""
        return self.root / "set_env.sh"

    def tool(self, name: str, body: str) -> Path:
        """Write a tool: Python, which knows `flags`, `write`, `OM` and the lines of atc."""
        path = self.root / "bin" / name
        text = PRELUDE.format(python=sys.executable, calls=str(self.root / f"{name}.calls"), om=an_om())
        path.write_text(text + body + "\n")
        path.chmod(0o755)
        return path

    def calls(self, name: str) -> list[dict[str, Any]]:
        """Return how a tool was called: argv, cwd, env."""
        path = self.root / f"{name}.calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def flags(self, name: str) -> dict[str, str]:
        """Return the flags of a tool's only call."""
        (call,) = self.calls(name)
        return {key: value for key, _, value in (word[2:].partition("=") for word in call["argv"][1:])}


def install(folder: Path) -> Toolkit:
    """Write a toolkit without tools: CANN 5.0.2."""
    root = folder / "ascend toolkit"
    for part in ("bin", "opp", "compiler", "runtime"):
        (root / part).mkdir(parents=True)
    arch = root / f"{os.uname().machine}-linux"
    arch.mkdir()
    (arch / "ascend_toolkit_install.info").write_text(
        "package_name=Ascend-cann-toolkit\nversion=5.0.2\ninnerversion=V1\n"
    )
    for part in ("opp", "compiler", "runtime"):
        (root / part / "version.info").write_text(f"Version=1.76.22.{len(part)}\n")
    (root / "set_env.sh").write_text(
        f'export ASCEND_TOOLKIT_HOME="{root}"\nexport PATH="{root}/bin:$PATH"\necho set up\n[ -d /nowhere ] && true\n'
    )
    return Toolkit(root)
