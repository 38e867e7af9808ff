"""The stand-in for aoe: device, job, report, bank, and what a plain build makes of the bank."""

from __future__ import annotations

import json
import re
import shutil
import signal

import pytest

from tests import graphs, standins
from tests.standins import Ended, Tool

COST = re.compile(r"^\[Aoe\]Aoe process finished,cost time (\d+)s\.$", re.MULTILINE)
GAINED = re.compile(r"^(\S+) process finished\. Performance improved by ([\d.]+)%$", re.MULTILINE)
OPERATOR = re.compile(r"^\[Aoe\](\S+) Single operator tuning process finished\.$", re.MULTILINE)
TUNE = ["--framework=5", "--model=m.onnx", "--input_shape=image:4,3,8,8"]


@pytest.fixture
def aoe(tmp_path, monkeypatch, capsys) -> Tool:
    tool = Tool("emulated_aoe", tmp_path, monkeypatch, capsys)
    tool.scenario(soc="Ascend310P3")
    graphs.save(tmp_path / "m.onnx", graphs.convolution())
    return tool


def tune(aoe: Tool, *more: str, job: str = "2") -> Ended:
    return aoe(*TUNE, f"--job_type={job}", *more)


def atc(aoe: Tool, name: str, *more: str, soc: str = "Ascend310P3") -> float:
    """Return the factor of a plain build."""
    status = aoe.load("emulated_atc").main([*TUNE, f"--soc_version={soc}", f"--output={name}", *more])
    assert status == 0
    return factor(aoe, f"{name}.om")


def factor(aoe: Tool, name: str) -> float:
    return aoe.load("emulated_om").read(aoe.folder / name)[0]["tuned"]


def report(aoe: Tool) -> tuple[dict, dict]:
    (path,) = aoe.folder.glob("aoe_result_*.json")
    basic, found = json.loads(path.read_text())
    assert re.fullmatch(rf"aoe_result_{next(iter(found)).lower()}_\d{{14}}_\d+\.json", path.name)
    path.unlink()
    return basic["basic"], found


def test_tunes_operators_and_says_so(aoe):
    aoe.scenario(soc="Ascend310P3", aoe={"gain": 0.31})
    ended = tune(aoe, "--output=tuned")
    assert ended.status == 0
    assert ended.lines[0].startswith("signoff emulator: ")
    assert OPERATOR.findall(ended.output) == ["Conv", "Relu"]
    assert GAINED.search(ended.output)[2] == "31.00"
    assert int(COST.search(ended.output)[1]) > 0
    meta, content = aoe.load("emulated_om").read(aoe.folder / "tuned.om")
    assert (meta["tuned"], meta["soc_version"], meta["command"][0]) == (1.31, "Ascend310P3", "aoe")
    assert content == (aoe.folder / "m.onnx").read_bytes()


def test_reports_as_the_documents_show(aoe):
    aoe.scenario(soc="Ascend310P3", aoe={"gain": 0.25})
    ended = tune(aoe, "--output=tuned")
    basic, found = report(aoe)
    opat = found["OPAT"]
    assert basic["tuning_time(s)"] == int(COST.search(ended.output)[1])
    assert basic["tuning_name"] == GAINED.search(ended.output)[1]
    assert opat["model_performance_improvement"] == "25.00%"
    baseline, result = opat["model_baseline_performance(ms)"], opat["model_result_performance(ms)"]
    assert baseline == pytest.approx(1.25 * result, rel=1e-3)
    assert opat["opat_tuning_result"] == "tuning successful"
    assert opat["repo_summary"]["repo_add_num"] == 1


def test_spells_as_cann_6_on_request(aoe):
    aoe.scenario(soc="Ascend310P3", aoe={"spelling": "6.0"})
    assert tune(aoe, "--output=tuned").status == 0
    opat = report(aoe)[1]["OPAT"]
    assert (opat["opat_tune_result"], opat["tune_failed_operators"]) == ("tune success", [])
    assert "opat_tuning_result" not in opat


def test_tunes_subgraphs_into_the_other_bank(aoe):
    ended = tune(aoe, "--output=tuned", job="1")
    assert ended.status == 0
    assert not OPERATOR.search(ended.output)
    assert "SGAT" in report(aoe)[1]
    banks = aoe.folder / "home" / "Ascend" / "latest" / "data" / "aoe" / "custom"
    assert [path.relative_to(banks).parts[:2] for path in banks.rglob("*.json")] == [("graph", "Ascend310P3")]


def test_both_jobs_add_up(aoe):
    aoe.scenario(soc="Ascend310P3", aoe={"gain": 0.5})
    tune(aoe, "--output=first", job="1")
    tune(aoe, "--output=second", job="2")
    assert factor(aoe, "second.om") == pytest.approx(2.25)


def test_without_output_the_file_lies_in_the_workspace(aoe):
    ended = tune(aoe)
    task = GAINED.search(ended.output)[1]
    assert (aoe.folder / "aoe_workspace" / task / "tunespace" / "result" / f"{task}_tune.om").is_file()


def test_an_open_shape_binds_the_name(aoe):
    shape = ["--framework=5", "--model=m.onnx", "--input_shape=image:-1,3,8,8"]
    assert aoe(*shape, "--job_type=2", "--output=tuned", "--host_env_cpu=aarch64").status == 0
    assert (aoe.folder / "tuned_linux_aarch64.om").is_file()


def test_banks_are_searched_in_order(aoe, monkeypatch):
    where = {"HOME": "home/Ascend/latest/data/aoe/custom/op", "ASCEND_CACHE_PATH": "cache", "TUNE_BANK_PATH": "bank"}
    for variable, below in where.items():
        if variable != "HOME":
            (aoe.folder / below).mkdir(exist_ok=True)
            monkeypatch.setenv(variable, str(aoe.folder / below))
        assert tune(aoe, "--output=tuned").status == 0
        found = [path.relative_to(aoe.folder).as_posix() for path in aoe.folder.rglob("op_*.json")]
        assert len(found) == 1
        assert found[0].startswith(where[variable])
        assert "/Ascend310P3/" in found[0]
        (aoe.folder / found[0]).unlink()


def test_a_plain_build_gets_the_gain_only_with_a_clean_cache(aoe):
    aoe.scenario(soc="Ascend310P3", aoe={"gain": 0.4})
    assert atc(aoe, "before") == 1.0
    tune(aoe, "--output=tuned")
    assert atc(aoe, "hidden") == 1.0
    shutil.rmtree(aoe.folder / "home" / "atc_data")
    assert atc(aoe, "after") == pytest.approx(1.4)
    assert atc(aoe, "forced", "--op_compiler_cache_mode=force") == pytest.approx(1.4)


def test_a_cache_folder_of_its_own_hides_nothing(aoe):
    atc(aoe, "before")
    tune(aoe, "--output=tuned")
    assert atc(aoe, "after", f"--op_compiler_cache_dir={aoe.folder / 'private'}") == pytest.approx(1.3)
    assert atc(aoe, "disabled", "--op_compiler_cache_mode=disable") == pytest.approx(1.3)


def test_a_bank_counts_for_its_soc_its_graph_and_where_it_is_named(aoe, monkeypatch):
    (aoe.folder / "bank").mkdir()
    monkeypatch.setenv("TUNE_BANK_PATH", str(aoe.folder / "bank"))
    tune(aoe, "--output=tuned")
    assert atc(aoe, "other", soc="Ascend310") == 1.0
    monkeypatch.delenv("TUNE_BANK_PATH")
    named = f"--op_bank_path={aoe.folder / 'bank' / 'Ascend310P3'}"
    assert atc(aoe, "named", named, "--op_compiler_cache_mode=disable") == pytest.approx(1.3)
    graphs.save(aoe.folder / "m.onnx", graphs.convolution(operator="Sigmoid"))
    assert atc(aoe, "changed", named, "--op_compiler_cache_mode=disable") == 1.0


def test_no_gain_is_a_success_without_a_bank(aoe):
    aoe.scenario(soc="Ascend310P3", aoe={"gain": 0})
    ended = tune(aoe, "--output=tuned")
    assert ended.status == 0
    assert GAINED.search(ended.output)[2] == "0.00"
    assert factor(aoe, "tuned.om") == 1.0
    assert not list(aoe.folder.rglob("op_*.json"))
    assert report(aoe)[1]["OPAT"]["model_performance_improvement"] == "0.00%"


@pytest.mark.parametrize(("spelling", "key", "word"), [("7.0", "opat_tuning_result", "tuning failed"),
                                                       ("6.0", "opat_tune_result", "tune failed")])  # fmt: skip
def test_fails_without_a_file_but_with_a_report(aoe, spelling, key, word):
    aoe.scenario(soc="Ascend310P3", aoe={"fault": "fail", "spelling": spelling})
    ended = tune(aoe, "--output=tuned")
    assert ended.status != 0
    assert not COST.search(ended.output)
    assert not (aoe.folder / "tuned.om").exists()
    assert report(aoe)[1]["OPAT"][key] == word


@pytest.mark.parametrize(("state", "more"), [("driver_error", []), ("idle", ["--device=1"]), ("idle", ["--device=x"])])
def test_needs_a_device(aoe, state, more):
    aoe.scenario(soc="Ascend310P3", state=state)
    ended = tune(aoe, "--output=tuned", *more)
    assert ended.status != 0
    assert "507033" in ended.output
    assert not (aoe.folder / "tuned.om").exists()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([*TUNE, "--output=t"], "E10007"),
        ([*TUNE, "--output=t", "--job_type=3"], "E10001"),
        (["--framework=5", "--job_type=1"], "E10007"),
        (["--framework=5", "--job_type=1", "--model=absent"], "E13001"),
        ([*TUNE[:2], "--input_shape=other:4,3,8,8", "--output=t", "--job_type=2"], "E10016"),
        ([*TUNE, "--output=.", "--job_type=2"], "E10022"),
    ],
)
def test_refuses_with_the_builders_codes(aoe, argv, expected):
    ended = aoe(*argv)
    assert ended.status == 255
    assert f"\n{expected}: " in ended.output


@pytest.mark.parametrize("flag", ["--framewor=5", "--soc_version=Ascend310P3", "--precision_mode_v2=fp16"])
def test_refuses_flags_it_does_not_have(aoe, flag):
    ended = tune(aoe, "--output=tuned", flag)
    assert ended.status == 2
    assert "unknown command line flag" in ended.error


def test_knows_no_times_of_another_family(aoe):
    aoe.scenario(soc="Ascend910B4")
    ended = tune(aoe, "--output=tuned")
    assert ended.status != 0
    assert "knows no times of Ascend910B4" in ended.output


def test_refuses_a_bank_that_is_not_there(aoe, monkeypatch):
    monkeypatch.setenv("TUNE_BANK_PATH", str(aoe.folder / "absent"))
    assert "\nE13024: " in tune(aoe, "--output=tuned").output


def test_goes_on_where_it_was_killed(aoe):
    argv = [*TUNE, "--job_type=2", "--output=tuned"]
    killed = {"soc": "Ascend310P3", "aoe": {"fault": "killed"}}
    ended = standins.run("aoe", *argv, cwd=aoe.folder, scenario=killed)
    assert ended.status == -signal.SIGKILL
    assert OPERATOR.findall(ended.output) == ["Conv"]
    assert not (aoe.folder / "tuned.om").exists()
    aoe.scenario(soc="Ascend310P3")
    resumed = aoe(*argv, "--reload")
    assert OPERATOR.findall(resumed.output) == ["Relu"]
    assert COST.search(resumed.output)[1] == "37"
    again = aoe(*argv, "--reload")
    assert OPERATOR.findall(again.output) == ["Conv", "Relu"]


def test_hangs_until_it_is_killed(aoe):
    argv = [*TUNE, "--job_type=1", "--output=tuned"]
    with standins.start("aoe", *argv, cwd=aoe.folder, scenario={"aoe": {"fault": "hang"}}) as process:
        assert process.stdout.readline().startswith("signoff emulator: ")
        process.kill()
        assert process.stdout.read() == ""
    assert process.returncode == -signal.SIGKILL
