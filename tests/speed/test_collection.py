"""How long a user waits before anything happens: `pytest tests/speed --benchmark-only`; expected below one second.

Beside it stands pytest on an empty folder, in turns, so that what is ours can be told from what is pytest's.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
REPEATS = 7


def collect(folder: Path, bytecode: Path) -> float:
    """Return the seconds that `pytest --collect-only -q` takes in a folder, its bytecode kept as on a user's disk."""
    caller = ("SIGNOFF_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(caller)}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    options = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--collect-only", "-q"],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
    )
    spent = time.perf_counter() - started
    assert done.returncode in (0, 5), done.stdout.decode()
    return spent


def test_collecting_the_whole_grid(benchmark, capsys, tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    bytecode = tmp_path / "bytecode"
    for folder in (CHECKOUT, tmp_path):
        collect(folder, bytecode)
    spent: dict[str, list[float]] = {"the whole grid": [], "an empty folder": []}
    for _ in range(REPEATS):
        spent["the whole grid"].append(collect(CHECKOUT, bytecode))
        spent["an empty folder"].append(collect(tmp_path, bytecode))
    medians = {name: statistics.median(seconds) for name, seconds in spent.items()}
    benchmark.extra_info.update(seconds=medians, clock="perf_counter")
    benchmark.pedantic(collect, args=(CHECKOUT, bytecode), rounds=1)
    with capsys.disabled():
        print("", *(f"  {name}: {seconds:.2f} s" for name, seconds in medians.items()), sep="\n")
