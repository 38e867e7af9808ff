"""OM files for the fake aclruntime, and the environment a worker finds it in."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fixtures.ascend import om

FAKE = Path(__file__).parent / "fake_aclruntime"
FLOAT32, FLOAT16, INT32 = 0, 1, 3


def header(rest: int, **other: Any) -> bytes:
    """Return the 256 bytes before `rest` others."""
    fields = {"magic": om.MAGIC, "size": 256, "version": 0x10000000, "name": b"tiny", "user": b"", **other}
    return om.LAYOUT.pack(
        *(fields["magic"], fields["size"], fields["version"], b"", rest, 0, 0, 1, 0),
        *(fields["name"], 0, fields["user"], 0, 1, b"", 0, b""),
    )


def tensor(name: str, shape: tuple[int, ...], size: int, dtype: int = FLOAT32, **other: Any) -> dict[str, Any]:
    """Return what a descriptor says; `size` in bytes of the largest gear."""
    return {"name": name, "shape": shape, "dtype": dtype, "size": size, **other}


def write(path: Path, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]], **gears: Any) -> Path:
    """Write an OM."""
    rest = json.dumps({"inputs": inputs, "outputs": outputs, "gears": gears}).encode()
    path.write_bytes(header(len(rest)) + rest)
    return path


def static(path: Path) -> Path:
    """Write an OM that takes 2 x 3 float32, and gives its input and, in float16, twice its input."""
    out = [tensor("Relu_1:0:out", (2, 3), 24), tensor("node_2:0:half", (2, 3), 12, FLOAT16)]
    return write(path, [tensor("image", (2, 3), 24)], out)


def environment(**settings: Any) -> dict[str, str]:
    """Return an environment in which aclruntime is the fake, with its settings."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(FAKE), "FAKE_ACL": json.dumps(settings)}
