"""Tools of vendors: run to their end, told apart by how they fail, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures import tool
from fixtures.tool import ToolError

PYTHON = Path(sys.executable)


def run(code: str, folder: Path, timeout: float = 60) -> tool.Finished:
    return tool.run([PYTHON, "-c", code], {"PATH": "/usr/bin:/bin"}, folder, folder / "log", timeout, "install it")


def test_everything_it_prints_is_kept_with_its_status_and_nothing_of_our_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OURS", "1")
    code = "import os, sys; print('OURS' in os.environ, os.getcwd()); print('worse', file=sys.stderr); sys.exit(3)"
    done = run(code, tmp_path)
    assert (done.status, done.ended) == (3, "exit status 3")
    assert sorted(done.lines()) == [f"False {tmp_path}", "worse"]


def test_a_tool_that_is_killed_says_by_what(tmp_path):
    assert run("import os; os.kill(os.getpid(), 9)", tmp_path).ended == "killed by SIGKILL"


def test_a_tool_that_is_missing_or_not_executable_is_said_with_the_next_step(tmp_path):
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    for name, found in (("absent", "No such file"), ("plain", "Permission denied")):
        with pytest.raises(ToolError, match=rf"{name}: expected a tool that can be started; found {found}.*; get it"):
            tool.run([tmp_path / name], {}, tmp_path, tmp_path / "log", 5, "get it")


def test_a_tool_that_hangs_is_ended_with_its_children_and_its_last_lines_are_told(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('child', 'w').write(str(child.pid)); print('compiling', flush=True); time.sleep(600)"
    )
    with pytest.raises(ToolError, match=r"within 2 s; found it still running; its last lines: compiling; install it"):
        run(code, tmp_path, timeout=2)
    assert gone(int((tmp_path / "child").read_text()))


def test_a_tool_that_prints_a_hundred_megabytes_fills_no_memory(tmp_path):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = run("import sys\nfor _ in range(100): sys.stdout.write('x' * 1023 * 1024 + '\\n')\nprint('end')", tmp_path)
    assert done.tail(1) == ["end"]
    assert done.log.stat().st_size > 100e6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


def test_nothing_of_a_tool_survives_whoever_started_it(tmp_path):
    code = (
        "import sys; from pathlib import Path; from fixtures import tool\n"
        "here = Path(sys.argv[1])\n"
        'inner = \'import os, time; open("pid.part", "w").write(str(os.getpid()));\'\n'
        'inner += \'os.rename("pid.part", "pid"); time.sleep(600)\'\n'
        "tool.run([sys.executable, '-c', inner], {}, here, here / 'log', 600, '')"
    )
    checkout = Path(__file__).resolve().parents[1]
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=checkout) as starter:
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        starter.send_signal(signal.SIGKILL)
    assert gone(int((tmp_path / "pid").read_text()))


def gone(pid: int) -> bool:
    """Wait until a process is gone: it may take the kernel a moment, and the test ends when it did."""
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True  # ended, and its own parent does not collect it
        time.sleep(0.01)
