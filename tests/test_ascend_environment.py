"""CANN's environment: what its script sets up, in a shell that knows nothing of ours."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.ascend import emulator
from fixtures.ascend import environment as cann
from fixtures.backend import Backend
from fixtures.errors import SetupError
from tests.cann import GOOD, Toolkit, install

BACKEND = Backend("ascend310", "ascend", "fp16", options={"soc_version": "Ascend310"})
EMULATED = replace(BACKEND, name="ascend310~emulated")


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolkit:
    installed = install(tmp_path)
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_ASCEND_ENV", str(installed.script))
    for name in ("SIGNOFF_ASCEND_PYTHON", cann.VISIBLE, cann.SCENARIO):
        monkeypatch.delenv(name, raising=False)
    return installed


def test_knows_nothing_of_our_own_environment(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "BASH_ENV", "SECRET"):
        monkeypatch.setenv(name, "/ours")
    monkeypatch.setenv("PATH", f"/ours/bin:{os.environ['PATH']}")
    found = cann.environment(BACKEND)
    assert not [value for value in found.values() if "/ours" in value]
    assert found["PATH"] == f"{toolkit.root}/bin:{cann.SYSTEM_PATH}"
    assert set(found) == {
        *("PATH", "LANG", "HOME", "ASCEND_TOOLKIT_HOME", "ASCEND_WORK_PATH", "ASCEND_PROCESS_LOG_PATH"),
        *({"TMPDIR"} & set(os.environ)),
    }


def test_reads_values_of_several_lines_and_ignores_what_the_script_prints(toolkit: Toolkit) -> None:
    toolkit.script.write_text('echo PATH=/wrong; export TEXT="one\ntwo=2\n"\nfalse\n')
    assert cann.environment(BACKEND)["TEXT"] == "one\ntwo=2\n"


def test_the_script_sees_no_arguments_and_no_input(toolkit: Toolkit) -> None:
    toolkit.script.write_text('export COUNT="$#"; read line; export LINE="<$line>"\n')
    found = cann.environment(BACKEND)
    assert (found["COUNT"], found["LINE"]) == ("0", "<>")


def test_a_path_that_a_shell_would_take_apart_is_one_argument(toolkit: Toolkit) -> None:
    odd = toolkit.root / "a;touch b $(id) 'c'.sh"
    odd.write_text("export FOUND=yes\n")
    os.environ["SIGNOFF_ASCEND_ENV"] = str(odd)
    assert cann.environment(BACKEND)["FOUND"] == "yes"


def test_work_and_log_folders_are_ours_even_if_the_script_has_its_own(toolkit: Toolkit, tmp_path: Path) -> None:
    toolkit.script.write_text("export ASCEND_WORK_PATH=/theirs ASCEND_PROCESS_LOG_PATH=/theirs\n")
    found = cann.environment(BACKEND)
    for name in ("ASCEND_WORK_PATH", "ASCEND_PROCESS_LOG_PATH"):
        assert Path(found[name]).is_relative_to(tmp_path / "home")
        assert Path(found[name]).is_dir()


@pytest.mark.parametrize("home", [None, "", "/nowhere/at/all", "/proc"])
def test_a_home_that_cannot_be_written_is_replaced(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in ("/proc", "") and Path(path).exists())
    toolkit.script.write_text('export SEEN="$HOME"\n')
    found = cann.environment(BACKEND)
    assert Path(found["HOME"]) == tmp_path / "home" / "ascend" / "home"
    assert found["SEEN"] == found["HOME"]
    assert Path(found["HOME"]).is_dir()
    assert found.get("PYTHONUSERBASE") == (f"{home}/.local" if home else None)  # packages there can still be read


def test_the_script_is_read_once_until_it_changes(toolkit: Toolkit, tmp_path: Path) -> None:
    count = tmp_path / "count"
    toolkit.script.write_text(f"echo once >>{count}\nexport VALUE=1\n")
    assert [cann.environment(BACKEND)["VALUE"] for _ in range(3)] == ["1"] * 3
    assert count.read_text() == "once\n"
    toolkit.script.write_text("export VALUE=2\n")
    os.utime(toolkit.script, ns=(1, 1))
    assert cann.environment(BACKEND)["VALUE"] == "2"


def test_a_caller_that_changes_what_it_got_changes_nothing(toolkit: Toolkit) -> None:
    cann.environment(BACKEND)["PATH"] = ""
    assert cann.environment(BACKEND)["PATH"]


@pytest.mark.parametrize("body", ["exit 3\n", "exit 0\n", "echo no driver; kill $$\n"])
def test_a_script_that_ends_the_shell_is_an_error_with_its_words(toolkit: Toolkit, body: str) -> None:
    toolkit.script.write_text(body)
    with pytest.raises(SetupError, match=r"expected a script that sets up CANN and returns; found .*--ascend-env"):
        cann.environment(BACKEND)
    missing = cann.missing(BACKEND)
    assert missing is not None
    assert str(toolkit.script) in missing.reason
    assert "--ascend-env" in missing.next_step


def test_a_script_that_hangs_is_ended(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cann, "SOURCE_SECONDS", 0.2)
    toolkit.script.write_text("sleep 600\n")
    with pytest.raises(SetupError, match="still running"):
        cann.environment(BACKEND)


def test_a_named_script_that_is_not_there_is_no_fallback(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cann, "PLACES", (toolkit.script,))
    monkeypatch.setenv("SIGNOFF_ASCEND_ENV", str(toolkit.root / "other.sh"))
    with pytest.raises(SetupError, match=r"other\.sh: expected CANN's set_env\.sh; found nothing"):
        cann.environment(BACKEND)
    monkeypatch.setenv("SIGNOFF_ASCEND_ENV", str(toolkit.root))
    with pytest.raises(SetupError, match="found a folder"):
        cann.environment(BACKEND)


def test_takes_the_first_known_place_that_exists(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGNOFF_ASCEND_ENV")
    monkeypatch.setattr(cann, "PLACES", (toolkit.root / "nothing.sh", toolkit.script))
    assert cann.script(BACKEND) == toolkit.script
    assert cann.missing(BACKEND) is None


def test_without_any_script_the_next_step_is_said(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGNOFF_ASCEND_ENV")
    monkeypatch.setattr(cann, "PLACES", (toolkit.root / "nothing.sh",))
    missing = cann.missing(BACKEND)
    assert missing is not None
    assert "nothing.sh" in missing.reason
    assert missing.next_step == cann.NAME_ANOTHER
    assert cann.script(BACKEND) is None


@pytest.mark.parametrize("below", ["ascend-toolkit", "cann"])
def test_a_plain_users_own_installation_is_found_after_the_hosts(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    host = tmp_path / "host" / "ascend-toolkit" / "set_env.sh"
    monkeypatch.delenv("SIGNOFF_ASCEND_ENV")
    monkeypatch.setattr(cann, "PLACES", (host, tmp_path / "host" / "cann" / "set_env.sh"))
    monkeypatch.setenv("HOME", str(tmp_path))
    missing = cann.missing(BACKEND)
    assert missing is not None
    assert "nor the same in Ascend below HOME" in missing.reason
    own = tmp_path / "Ascend" / below / "set_env.sh"
    own.parent.mkdir(parents=True)
    own.write_text("export X=1\n")
    assert cann.script(BACKEND) == own
    host.parent.mkdir(parents=True)
    host.write_text("export X=1\n")
    assert cann.script(BACKEND) == host


def test_a_home_of_ours_that_cannot_be_written_is_named(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "file"))
    with pytest.raises(SetupError, match="SIGNOFF_HOME"):
        cann.environment(BACKEND)
    missing = cann.missing(BACKEND)
    assert missing is not None
    assert missing.next_step == "name one that can be written with SIGNOFF_HOME"


def test_a_tool_is_looked_for_on_its_path_alone(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = toolkit.root / "elsewhere"
    elsewhere.mkdir()
    toolkit.tool("atc", GOOD).rename(elsewhere / "atc")
    monkeypatch.setenv("PATH", str(elsewhere), prepend=":")
    assert cann.tool(BACKEND, "atc") is None
    missing = cann.missing_tool(BACKEND, "atc")
    assert missing is not None
    assert missing.reason == f"atc is not on the PATH that {toolkit.script} sets"
    path = toolkit.tool("atc", GOOD)
    assert cann.tool(BACKEND, "atc") == path
    assert cann.missing_tool(BACKEND, "atc") is None


def test_a_tool_that_may_not_be_run_is_named(toolkit: Toolkit) -> None:
    path = toolkit.tool("atc", GOOD)
    path.chmod(0o644)
    missing = cann.missing_tool(BACKEND, "atc")
    assert missing is not None
    assert (missing.reason, missing.next_step) == (f"{path} is not executable", f"chmod +x {path}")


def test_python_is_the_named_one_or_the_one_of_that_path(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    own = toolkit.tool("python3", "")
    assert cann.python(BACKEND) == own
    monkeypatch.setenv("SIGNOFF_ASCEND_PYTHON", "/opt/python3.7")
    assert cann.python(BACKEND) == Path("/opt/python3.7")
    assert cann.python(EMULATED) == Path(sys.executable)


def test_reads_every_version_and_does_without_those_that_are_not_there(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cann, "ROOT", toolkit.root / "host")
    (toolkit.root / "host" / "driver").mkdir(parents=True)
    (toolkit.root / "host" / "driver" / "version.info").write_text("Version=22.0.2\nage=1\n")
    expected = {
        **{"toolkit": "5.0.2", "opp": "1.76.22.3", "compiler": "1.76.22.8", "runtime": "1.76.22.7"},
        **{"driver": "22.0.2"},
    }
    assert cann.versions(BACKEND) == expected
    for file in [*toolkit.root.glob("*/version.info"), *toolkit.root.glob("*-linux/*.info")]:
        file.unlink()
    assert cann.versions(BACKEND) == {"driver": "22.0.2"}
    (toolkit.root / "version.cfg").write_text("# a list\nruntime_installed_version=[1.84.15.1.310:6.0.1]\n")
    assert cann.versions(BACKEND) == {"toolkit": "6.0.1", "driver": "22.0.2"}


def test_the_component_in_use_says_the_version(toolkit: Toolkit) -> None:
    next(toolkit.root.glob("*-linux/*.info")).unlink()
    (toolkit.root / "version.cfg").write_text(
        "runtime_installed_version=[1.83:6.0.0][1.84:6.0.1]\nruntime_running_version=[1.84:6.0.1]\n"
    )
    assert cann.versions(BACKEND)["toolkit"] == "6.0.1"


def test_finds_the_toolkit_of_the_oldest_guides(toolkit: Toolkit) -> None:
    toolkit.script.write_text(f'export ASCEND_OPP_PATH="{toolkit.root}/opp"\n')
    assert cann.toolkit(BACKEND) == toolkit.root
    toolkit.script.write_text("export OTHER=1\n")
    os.utime(toolkit.script, ns=(1, 1))
    assert cann.toolkit(BACKEND) is None
    assert "toolkit" not in cann.versions(BACKEND)


def test_the_emulator_stands_in_whatever_is_named(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scenario.json").write_text("{}")
    monkeypatch.setenv("SIGNOFF_EMULATOR_SCENARIO", str(tmp_path / "scenario.json"))
    monkeypatch.setenv(cann.VISIBLE, "7")  # of the real devices here
    found = cann.environment(EMULATED)
    assert found["PATH"].split(":")[0] == str(cann.EMULATOR / "bin")
    assert found["PYTHONPATH"].split(":")[0] == str(cann.EMULATOR / "site")
    assert found["SIGNOFF_EMULATOR_PYTHON"] == sys.executable
    assert found["SIGNOFF_EMULATOR_SOC"] == "Ascend310"
    assert found["SIGNOFF_EMULATOR_SCENARIO"] == str(tmp_path / "scenario.json")
    assert str(toolkit.root) not in "".join(found.values())
    assert cann.VISIBLE not in found
    assert "SIGNOFF_EMULATOR_PYTHON" not in cann.environment(BACKEND)


def test_the_emulator_has_its_tools_and_versions(toolkit: Toolkit) -> None:
    for name in ("atc", "aoe", "npu-smi"):
        assert cann.tool(EMULATED, name) == cann.EMULATOR / "bin" / name
    assert {"toolkit", "opp", "compiler", "driver"} <= cann.versions(EMULATED).keys()


# What the emulator pretends.


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "scenario.json"
    monkeypatch.setenv(cann.SCENARIO, str(path))
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    return path


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "No such file"),
        ("{", "Expecting property name"),
        ("", "Expecting value"),
        ("[]", "expected a JSON object"),
        ('{"cannn": "7.0.0"}', "found 'cannn'"),
        ('{"cann": 7}', "expected str for 'cann'"),
        ('{"cann": "seven"}', "expected a release such as 7.0.0"),
        ('{"state": "tired"}', "found 'tired'"),
        (b"\xff\xfe", "codec can't decode"),
    ],
)
def test_a_scenario_that_is_none_is_said_as_such(scenario: Path, content: str | bytes | None, found: str) -> None:
    if content is not None:
        scenario.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SetupError) as caught:
        cann.environment(EMULATED)
    assert str(caught.value).startswith(f"SIGNOFF_EMULATOR_SCENARIO={scenario}: expected a scenario of the emulator;")
    assert found in str(caught.value)
    assert "README.md" in str(caught.value)
    missing = cann.missing(EMULATED)
    assert missing is not None
    assert found in missing.reason


def test_the_release_of_a_scenario_is_that_of_the_toolkit(scenario: Path) -> None:
    scenario.write_text('{"cann": "5.1.0"}')
    assert {cann.versions(EMULATED)[name] for name in cann.RELEASED} == {"5.1.0"}
    scenario.write_text('{"cann": "8.0.0"}')
    os.utime(scenario, ns=(1, 1))
    assert {cann.versions(EMULATED)[name] for name in cann.RELEASED} == {"8.0.0"}


def test_the_toolkit_is_of_the_usual_release_without_a_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(cann.SCENARIO, raising=False)
    assert cann.versions(EMULATED)["toolkit"] == "7.0.0"


def test_another_emulator_has_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = emulator.code()
    shutil.copytree(cann.EMULATOR / "site", tmp_path / "site")
    monkeypatch.setattr(emulator, "EMULATOR", tmp_path)
    assert emulator.code() == before
    (tmp_path / "site" / "__pycache__" / "more.pyc").write_bytes(b"")
    assert emulator.code() == before
    with (tmp_path / "site" / "emulated_half.py").open("a") as mended:
        mended.write("# mended")
    assert emulator.code() != before
