"""Tuning: never by itself, never twice, and what it learnt is frozen."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import backend as backends
from fixtures import devices, locks
from fixtures.ascend import _aoe as aoe
from fixtures.ascend import aoe_report
from fixtures.ascend._atc import AtcError, Order
from fixtures.ascend.aoe_report import Gain
from fixtures.ascend.compiler import ASCEND
from fixtures.backend import EMULATED, Backend
from fixtures.case import Case
from fixtures.device import Device
from fixtures.runtime import LOG, Source
from tests.cann import GOOD, Toolkit, an_om, install
from tests.test_ascend_compiler import ONE, relu

BACKEND = Backend(
    "ascend310p_aoe", "ascend", "fp16", options={"soc_version": "Ascend310P3", "tuner": "aoe", "job_type": 1}
)
CASE = Case("sample", "enet", 480, 1, BACKEND.name)
TUNED = an_om(b"tuned")

# As the documents have it, 0.31 % in 1827 s.
REPORT = [
    {"basic": {"tuning_name": "x", "tuning_time(s)": 1827}},
    {
        "OPAT": {
            "model_baseline_performance(ms)": 113.588725,
            "model_result_performance(ms)": 113.236731,
            "model_performance_improvement": "0.31%",
            "opat_tuning_result": "tuning successful",
            "repo_summary": {"repo_add_num": 2},
        }
    },
]
LEARN = (
    "bank = Path(os.environ['TUNE_BANK_PATH'], 'Ascend310P3'); bank.mkdir(parents=True, exist_ok=True)\n"
    "(bank / 'op.json').write_text('knowledge')\n"
)
TELL = f"Path('aoe_result_sgat_20220101_1.json').write_text({json.dumps(REPORT)!r})\n"
DONE = "print('[Aoe]Aoe process finished,cost time 1109s.')\n"
GOOD_AOE = f"{LEARN}{TELL}write(content={TUNED!r})\n{DONE}"


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolkit:
    installed = install(tmp_path)
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("SIGNOFF_ASCEND_ENV", str(installed.script))
    monkeypatch.setenv("SIGNOFF_TUNE", "1")
    monkeypatch.setattr(devices, "choose", lambda runtime, backend: Device("0000:82:00.0", 3, "310P3", health="OK"))
    installed.tool("atc", GOOD)
    installed.tool("aoe", GOOD_AOE)
    return installed


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "building").mkdir()
    return tmp_path / "building" / "model.om"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tuning"


def order(tmp_path: Path) -> Order:
    graph = tmp_path / "x.onnx"
    graph.write_bytes(b"onnx")
    return Order(CASE, BACKEND, graph, ("--input_shape=image:1,3,480,480", "--precision_mode=force_fp16"))


def fail(tmp_path: Path, folder: Path, target: Path, timeout: float = 60) -> str:
    with pytest.raises(AtcError) as caught:
        aoe.build(order(tmp_path), 1, folder, target, timeout)
    assert not target.exists()
    assert not (folder / aoe.FROZEN).exists()
    assert str(caught.value).startswith(CASE.id)
    return str(caught.value)


# Starting


def test_never_starts_by_itself(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGNOFF_TUNE")
    message = fail(tmp_path, folder, target)
    assert "python -m fixtures engines build --tune --backend ascend310p_aoe" in message
    assert toolkit.calls("aoe") == []


def test_the_command_is_the_documented_one(toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path) -> None:
    aoe.build(order(tmp_path), 2, folder, target)
    flags = toolkit.flags("aoe")
    assert flags["framework"] == "5"
    assert flags["job_type"] == "2"
    assert flags["device"] == "3"
    assert flags["input_shape"] == "image:1,3,480,480"
    assert flags["precision_mode"] == "force_fp16"
    assert not {"soc_version", "reload", "op_compiler_cache_dir"} & set(flags)  # the machine's chip decides
    env = toolkit.calls("aoe")[0]["env"]
    assert env["TUNE_BANK_PATH"] == str(folder / "bank")
    assert Path(env["HOME"]).is_relative_to(folder)


@pytest.mark.parametrize(("busy", "unhealthy"), [("python3 (pid 7, 512 MB)", ""), ("", "health is Alarm")])
def test_a_device_that_is_not_idle_and_healthy_is_refused(
    toolkit: Toolkit,
    tmp_path: Path,
    folder: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    busy: str,
    unhealthy: str,
) -> None:
    device = Device("0000:82:00.0", 3, busy=busy, unhealthy=unhealthy)
    monkeypatch.setattr(devices, "choose", lambda runtime, backend: device)
    message = fail(tmp_path, folder, target)
    assert busy + unhealthy in message
    assert "--device" in message
    assert toolkit.calls("aoe") == []


def test_a_device_of_unknown_use_is_told(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "choose", lambda runtime, backend: Device("npu-0", unknown="npu-smi is not there"))
    made, _ = aoe.build(order(tmp_path), 1, folder, target)
    assert any("exclusivity is unknown: npu-smi is not there" in warning for warning in made.warnings)


def test_holds_the_device_and_the_builds_of_the_host(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[list[str]] = []
    hold = locks.hold
    monkeypatch.setattr(locks, "hold", lambda names, say: (held.append(list(names)), hold(names, say))[1])
    aoe.build(order(tmp_path), 1, folder, target)
    assert held == [["atc", "0000:82:00.0"]]
    twin = replace(order(tmp_path), backend=replace(BACKEND, name=BACKEND.name + EMULATED))
    with contextlib.suppress(AtcError):  # that the emulator refuses the graph is not the matter
        aoe.build(twin, 1, tmp_path / "emulated", target)
    assert held[1:] == [["atc~emulated", "0000:82:00.0~emulated"]]


# What it leaves


def test_takes_aoes_own_om_and_freezes_what_it_learnt(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path
) -> None:
    made, facts = aoe.build(order(tmp_path), 1, folder, target)
    assert target.read_bytes() == TUNED
    assert made.warnings == ()
    assert "Aoe process finished" in target.with_name(LOG).read_text()
    assert facts["om"] == aoe.OWN
    assert facts["gain_percent"] == 0.31
    assert (facts["before_ms"], facts["after_ms"]) == (113.588725, 113.236731)
    assert facts["job_type"] == 1
    assert facts["device"]["id"] == "0000:82:00.0"
    assert facts["resumed"] is False
    assert (folder / "bank" / "Ascend310P3" / "op.json").read_text() == "knowledge"
    assert not (folder / "work").exists()  # gigabytes
    assert toolkit.calls("atc") == []


def test_a_tuning_that_ended_is_not_done_again(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = aoe.build(order(tmp_path), 1, folder, target)
    target.unlink()
    monkeypatch.delenv("SIGNOFF_TUNE")
    assert aoe.build(order(tmp_path), 1, folder, target) == first
    assert target.read_bytes() == TUNED
    assert len(toolkit.calls("aoe")) == 1


def test_without_an_om_of_its_own_atc_makes_it_with_the_bank(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit.tool("aoe", f"{LEARN}{TELL}{DONE}")
    for _ in range(2):
        _, facts = aoe.build(order(tmp_path), 1, folder, target)
        assert facts["om"] == aoe.WITH_BANK
        assert target.read_bytes() == an_om()
        monkeypatch.delenv("SIGNOFF_TUNE", raising=False)
    assert len(toolkit.calls("aoe")) == 1
    banks = [Path(call["env"]["TUNE_BANK_PATH"]) for call in toolkit.calls("atc")]
    assert all(bank.is_relative_to(target.parent) for bank in banks)  # a copy of it


def test_an_atc_that_writes_into_the_bank_condemns_no_tuning(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path
) -> None:
    toolkit.tool("aoe", f"{LEARN}{TELL}{DONE}")
    toolkit.tool("atc", f"{LEARN}(bank / 'kernels').touch()\n{GOOD}".replace("'knowledge'", "'other'"))
    for _ in range(2):
        _, facts = aoe.build(order(tmp_path), 1, folder, target)
        assert facts["om"] == aoe.WITH_BANK
    assert len(toolkit.calls("aoe")) == 1


def test_a_bank_that_was_removed_is_said(toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path) -> None:
    toolkit.tool("aoe", f"{TELL}{DONE}")  # it learnt nothing: an empty bank
    aoe.build(order(tmp_path), 1, folder, target)
    (folder / "bank").rmdir()
    with pytest.raises(AtcError, match="what its tuning left; found"):
        aoe.build(order(tmp_path), 1, folder, target)


def test_takes_an_om_that_is_named_after_its_host(toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path) -> None:
    toolkit.tool("aoe", f"{TELL}write(flags['output'] + '_linux_aarch64.om', {TUNED!r})\n{DONE}")
    _, facts = aoe.build(order(tmp_path), 1, folder, target)
    assert (facts["om"], target.read_bytes()) == (aoe.OWN, TUNED)


@pytest.mark.parametrize("change", ["bank", "added", "om", "record", "no record"])
def test_what_was_changed_since_is_not_taken(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path, change: str
) -> None:
    aoe.build(order(tmp_path), 1, folder, target)
    target.unlink()
    if change == "bank":
        (folder / "bank" / "Ascend310P3" / "op.json").write_text("other")
    elif change == "added":
        (folder / "bank" / "more").write_text("")
    elif change == "om":
        (folder / "tuned.om").write_bytes(an_om(b"other"))
    else:
        (folder / aoe.FROZEN).write_text("[]" if change == "record" else "{")
    with pytest.raises(AtcError, match=r"what its tuning left; found .*remove that folder and tune again"):
        aoe.build(order(tmp_path), 1, folder, target)
    assert not target.exists()


def test_no_gain_is_flagged(toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path) -> None:
    text = json.dumps(REPORT).replace("0.31%", "0.0%")
    toolkit.tool("aoe", f"Path('aoe_result_opat_1_1.json').write_text({text!r}); write(content=OM)\n{DONE}")
    made, facts = aoe.build(order(tmp_path), 1, folder, target)
    assert facts["gain_percent"] == 0
    (warning,) = made.warnings
    assert "aoe found nothing: 0 %" in warning
    assert aoe.build(order(tmp_path), 1, folder, target)[0].warnings == made.warnings  # told again with a frozen one


def test_a_gain_that_is_only_in_the_log_is_read(toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path) -> None:
    toolkit.tool("aoe", f"print('x process finished. Performance improved by 12.5%'); write()\n{DONE}")
    _, facts = aoe.build(order(tmp_path), 1, folder, target)
    assert facts["gain_percent"] == 12.5


def test_no_word_of_a_gain_is_flagged(toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path) -> None:
    toolkit.tool("aoe", f"write()\n{DONE}")
    made, facts = aoe.build(order(tmp_path), 1, folder, target)
    assert "gain_percent" not in facts
    assert "aoe told no gain" in made.warnings[0]


# Going wrong


def test_a_failure_is_explained_and_starts_afresh(toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path) -> None:
    toolkit.tool("aoe", "print('E10016: Opname image is not found'); sys.exit(255)")
    message = fail(tmp_path, folder, target)
    assert "expected aoe to build an OM; found exit status 255: E10016" in message
    assert f"aoe-sample-{CASE.id}.txt" in message
    toolkit.tool("aoe", GOOD_AOE)
    aoe.build(order(tmp_path), 1, folder, target)
    assert all("--reload" not in call["argv"] for call in toolkit.calls("aoe"))


@pytest.mark.parametrize("said", ["tune failed", "tuning failed"])
def test_a_report_of_failure_is_none_of_success(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path, said: str
) -> None:
    text = json.dumps([{"OPAT": {"opat_tune_result": said, "tune_failed_operators": ["Conv_1"]}}])
    toolkit.tool("aoe", f"Path('aoe_result_opat_1_1.json').write_text({text!r}); write()\n{DONE}")
    assert "exit status 0 without" in fail(tmp_path, folder, target)


def test_an_exit_without_any_sign_of_success_is_none(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path
) -> None:
    toolkit.tool("aoe", "write()")
    assert "exit status 0 without" in fail(tmp_path, folder, target)


def test_an_om_that_is_cut_off_is_refused(toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path) -> None:
    toolkit.tool("aoe", f"{TELL}write(content=OM[:-3])\n{DONE}")
    assert "cut off" in fail(tmp_path, folder, target)
    assert not (folder / "work").exists()  # the next one starts afresh


def interrupted(kind: str) -> str:
    end = {
        "killed": "os.kill(os.getpid(), 9)",
        "killed below a shell": "sys.stdout.flush(); os._exit(137)",
        "hangs": "import signal; signal.pause()",
        "Ctrl-C": f"os.kill({os.getpid()}, {int(signal.SIGINT)}); import signal; signal.pause()",
    }
    return f"{LEARN}Path('progress').write_text('half'); print('half', flush=True); {end[kind]}"


@pytest.mark.parametrize("kind", ["killed", "killed below a shell", "hangs", "Ctrl-C"])
def test_an_interrupted_tuning_goes_on_where_it_was(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path, kind: str
) -> None:
    toolkit.tool("aoe", interrupted(kind))
    with pytest.raises(KeyboardInterrupt if kind == "Ctrl-C" else AtcError):
        aoe.build(order(tmp_path), 1, folder, target, timeout=1 if kind == "hangs" else 60)
    assert not target.exists()
    toolkit.tool("aoe", f"assert Path('progress').read_text() == 'half'\n{GOOD_AOE}")
    _, facts = aoe.build(order(tmp_path), 1, folder, target)
    first, second = toolkit.calls("aoe")
    assert "--reload" not in first["argv"]
    assert second["argv"] == [*first["argv"], "--reload"]
    assert second["cwd"] == first["cwd"]
    assert facts["resumed"] is True


def test_aoe_that_is_missing_is_said(toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path) -> None:
    (toolkit.root / "bin" / "aoe").unlink()
    assert "aoe is not on the PATH" in fail(tmp_path, folder, target)


# Reports


def test_reads_both_spellings() -> None:
    assert aoe_report.parse(json.dumps(REPORT)) == Gain(0.31, 113.588725, 113.236731, "tuning successful")
    older = [{"OPAT": {"opat_tune_result": "tune success", "model_performance_improvement": "3%"}}]
    assert aoe_report.parse(json.dumps(older)) == Gain(3.0, result="tune success")
    graph = [{"SGAT": {"model_performance_improvement": "31.5 %", "sgat_tuning_result": "tuning successful"}}]
    assert aoe_report.parse(json.dumps(graph)) == Gain(31.5, result="tuning successful")
    assert aoe_report.parse(json.dumps([{"basic": {"tuning_name": "x"}}])) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["OPAT", aoe_report.PERCENT, aoe_report.BEFORE, *aoe_report.RESULTS, "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read_or_left(entries: Any) -> None:
    found = aoe_report.parse(json.dumps(entries))
    assert found is None or all(value is None or value == value for value in found.as_dict().values())


@pytest.mark.parametrize("text", ["", "{", "not json", "[" * 100000])
def test_a_damaged_report_is_as_good_as_none(
    toolkit: Toolkit, tmp_path: Path, folder: Path, target: Path, text: str
) -> None:
    toolkit.tool("aoe", f"Path('aoe_result_opat_1_1.json').write_text({text!r}); write()\n{DONE}")
    made, _ = aoe.build(order(tmp_path), 1, folder, target)
    assert "aoe told no gain" in made.warnings[0]


# Where it is kept


def test_a_tuning_belongs_to_everything_that_went_into_it(toolkit: Toolkit, tmp_path: Path) -> None:
    place = aoe.place(order(tmp_path), {"graph": "a"})
    assert place.parent == tmp_path / "home" / "tuning" / "Ascend310P3"
    assert place.name.startswith("enet-480-bs1-")
    assert aoe.place(order(tmp_path), {"graph": "b"}) != place


def tuned(tmp_path: Path, batch: int, backend: Backend) -> dict[str, Any]:
    graph = relu(tmp_path / "x.onnx", ("x", ("N", 3, 8, 8)))
    folder = tmp_path / f"built-{batch}"
    folder.mkdir(exist_ok=True)
    case = Case("sample", "one", 8, batch, backend.name)
    built = ASCEND.build(Source(ONE, graph, graph, {}), case, backend, folder / "model.om")
    return dict(built.facts["tuned"])


def test_each_case_and_toolkit_is_tuned_on_its_own(toolkit: Toolkit, tmp_path: Path) -> None:
    assert tuned(tmp_path, 1, BACKEND)["om"] == aoe.OWN
    tuned(tmp_path, 4, BACKEND)
    assert len(toolkit.calls("aoe")) == 2
    tuned(tmp_path, 1, BACKEND)
    assert len(toolkit.calls("aoe")) == 2
    next(toolkit.root.glob("*-linux/*.info")).write_text("version=5.1.0\n")
    tuned(tmp_path, 1, BACKEND)
    assert len(toolkit.calls("aoe")) == 3


def test_the_toolchain_of_a_recipe_is_the_same_before_and_after_tuning(toolkit: Toolkit, tmp_path: Path) -> None:
    before = ASCEND.toolchain(BACKEND)
    tuned(tmp_path, 1, BACKEND)
    assert ASCEND.toolchain(BACKEND) == before


def test_tunes_through_the_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("SIGNOFF_TUNE", "1")
    monkeypatch.delenv("SIGNOFF_EMULATOR_SCENARIO", raising=False)
    found = tuned(tmp_path, 1, backends.find("ascend310p_aoe~emulated"))
    assert found["om"] == aoe.OWN
    assert found["gain_percent"] > 0
    (kept,) = (tmp_path / "home" / "tuning" / "emulated" / "Ascend310P3").iterdir()
    assert (kept / aoe.FROZEN).is_file()
