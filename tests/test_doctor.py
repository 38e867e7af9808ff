"""`python -m fixtures doctor` over stand-in runtimes: what each can do, with what, and what to type next."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures import catalogue, doctor
from fixtures.backend import Backend
from fixtures.device import CPU, Device
from fixtures.errors import SetupError
from fixtures.runtime import Missing

CHECKOUT = Path(__file__).resolve().parents[1]
NPU = Device("0000:81:00.0", 0, "310", card="2048", health="OK", memory_used_mb=2621, memory_total_mb=8192)
NO_ATC = Missing("atc is not on the PATH that set_env.sh sets", "install CANN, or name its set_env.sh")
NO_RUNNER = Missing("aclruntime cannot be imported", "install it from the toolkit")


def raised(error):
    raise error


@dataclass
class Runtime:
    """Answers as it is told; an exception is raised instead."""

    name: str = "acl"
    runs: object = None
    builds: object = None
    with_: object = field(default_factory=lambda: {"aclruntime": "0.0.2"})
    toolchain_: object = field(default_factory=lambda: {"toolkit": "7.0.0", "transpose.py": "f" * 64, "more": {"a": 1}})
    found: object = (NPU,)
    emulator: bool = False
    asked: list = field(default_factory=list)

    @property
    def compiler(self):
        return SimpleNamespace(
            missing=lambda *_: self._say(self.builds), toolchain=lambda *_: self._say(self.toolchain_)
        )

    def missing(self, backend, model):
        self.asked.append(backend.name)
        return self._say(self.runs.get(model.name) if isinstance(self.runs, dict) else self.runs)

    def versions(self, backend):
        return self._say(self.with_)

    def devices(self, backend):
        return self._say(self.found)

    @staticmethod
    def _say(answer):
        return raised(answer) if isinstance(answer, BaseException) else answer


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """Return a function that makes these the only backends, each with its own runtime."""
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    for name in ("SIGNOFF_ENGINE_CACHE", "SIGNOFF_TRTEXEC", "SIGNOFF_NOISE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def install(**runtimes):
        known = {
            "backend": {name: Backend(name, runtime=name) for name in runtimes},
            "runtime": runtimes,
            "model": {name: SimpleNamespace(name=name) for name in ("edsr", "enet")},
        }
        monkeypatch.setattr(catalogue, "entries", known.__getitem__)

    return install


@pytest.fixture
def page(capsys):
    """Return a function that runs the command and returns status and lines."""

    def run(*arguments):
        status = doctor.main(arguments)
        return status, capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def found(capsys):
    """Return a function that runs the command with --json and returns the backends by name."""

    def run(*arguments):
        doctor.main(["--json", *arguments])
        return {each["backend"]: each for each in json.loads(capsys.readouterr().out)["backends"]}

    return run


def test_a_backend_that_runs_and_builds_is_ready(registry, found):
    registry(ascend310=Runtime())
    told = found()["ascend310"]
    assert (told["state"], told["reason"]) == ("ready", "")
    assert told["next_step"] == "pytest -m accuracy --backend ascend310"
    assert told["runs_with"] == {"aclruntime": "0.0.2"}
    assert told["builds_with"]["toolkit"] == "7.0.0"
    assert told["devices"][0]["memory_used_mb"] == 2621


def test_a_host_without_its_compiler_runs_imported_engines_only(registry, found):
    registry(ascend310=Runtime(builds=NO_ATC))
    told = found()["ascend310"]
    assert (told["state"], told["reason"]) == ("can run imported engines only", NO_ATC.reason)
    assert (told["next_step"], told["otherwise"]) == ("python -m fixtures engines import FILE", NO_ATC.next_step)
    assert told["builds_with"] == {}


def test_a_host_without_its_runtime_can_build_but_not_run(registry, found):
    registry(t4_rtx=Runtime(runs=NO_RUNNER, found=RuntimeError("not asked")))
    told = found()["t4_rtx"]
    assert (told["state"], told["reason"]) == ("can build but not run", NO_RUNNER.reason)
    assert told["next_step"] == NO_RUNNER.next_step
    assert told["otherwise"] == "python -m fixtures engines build --backend t4_rtx"


def test_a_host_with_neither_misses_it(registry, found):
    registry(ascend310=Runtime(runs=NO_RUNNER, builds=NO_ATC, with_=ValueError(), toolchain_=ValueError()))
    told = found()["ascend310"]
    assert (told["state"], told["reason"], told["next_step"]) == ("missing", NO_RUNNER.reason, NO_RUNNER.next_step)
    assert told["otherwise"] == ""


@pytest.mark.parametrize(("builds", "state"), [(None, "can build but not run"), (NO_ATC, "missing")])
def test_a_host_without_a_device_that_fits_does_not_run_it(registry, found, builds, state):
    registry(ascend310=Runtime(found=(), builds=builds))
    told = found()["ascend310"]
    assert told["state"] == state
    assert "no device of this host fits" in told["reason"]


@pytest.mark.parametrize("model", ["edsr", "enet"])
def test_a_model_it_cannot_run_is_named_where_it_runs_others(registry, page, found, model):
    registry(torch=Runtime(runs={model: Missing("given as an ONNX file only", "")}))
    assert found()["torch"]["state"] == "ready"
    assert any(line.split(maxsplit=2) == ["not", model, "given as an ONNX file only"] for line in page()[1])


@pytest.mark.parametrize("question", ["runs", "builds", "with_", "toolchain_", "found"])
@pytest.mark.parametrize("error", [RuntimeError("boom"), OSError(5, "boom"), SystemExit("boom"), KeyError("boom")])
def test_a_runtime_that_raises_is_broken_and_stops_no_other(registry, found, question, error):
    registry(bad=Runtime(**{question: error}), good=Runtime())
    told = found()
    assert told["good"]["state"] == "ready"
    assert told["bad"]["state"] == "broken"
    assert type(error).__name__ in told["bad"]["reason"]
    assert "boom" in told["bad"]["reason"]
    assert told["bad"]["next_step"] == "pytest -m accuracy --backend bad"


def test_what_else_a_broken_runtime_tells_is_still_shown(registry, found):
    registry(bad=Runtime(found=RuntimeError("boom")))
    assert found()["bad"]["runs_with"] == {"aclruntime": "0.0.2"}


def test_an_error_that_ends_with_a_next_step_gets_no_other(registry, found):
    registry(bad=Runtime(found=SetupError("expected a driver;\n  found none; load it")))
    told = found()["bad"]
    assert (told["reason"], told["next_step"]) == ("expected a driver; found none; load it", "")


def test_a_backend_whose_runtime_is_not_known_is_broken_and_stops_no_other(registry, found, monkeypatch):
    registry(good=Runtime(), odd=Runtime())
    del catalogue.entries("runtime")["odd"]
    told = found()
    assert told["good"]["state"] == "ready"
    assert told["odd"]["state"] == "broken"
    assert "unknown runtime 'odd'" in told["odd"]["reason"]


def test_ctrl_c_ends_it(registry):
    registry(slow=Runtime(found=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        doctor.main([])


def test_only_a_backend_that_is_named_and_not_ready_fails(registry, page):
    registry(good=Runtime(), bad=Runtime(runs=NO_RUNNER))
    assert page()[0] == 0
    assert page("--backend", "good")[0] == 0
    assert page("--backend", "good,bad")[0] == 1


def test_only_what_is_named_is_asked(registry, page):
    registry(good=Runtime(), other=Runtime())
    assert not any("other" in line for line in page("--backend", "good")[1])
    assert catalogue.entries("runtime")["other"].asked == []


@pytest.mark.parametrize(("names", "message"), [("ascend301", "did you mean 'ascend310'"), (" , ", "expected names")])
def test_a_name_that_is_not_known_is_refused(registry, capsys, names, message):
    registry(ascend310=Runtime())
    with pytest.raises(SystemExit, match="2"):
        doctor.main(["--backend", names])
    assert message in capsys.readouterr().err


def test_a_broken_registry_is_told_without_a_traceback(registry, capsys, monkeypatch):
    registry(ascend310=Runtime())
    monkeypatch.setattr(catalogue, "entries", lambda kind: raised(catalogue.CatalogueError("x.py: expected BACKEND")))
    assert doctor.main([]) == 1
    assert capsys.readouterr().err == "x.py: expected BACKEND\n"


def test_emulation_takes_the_twin_of_those_that_have_one(registry, found):
    registry(ascend310=Runtime(emulator=True), onnxruntime=Runtime(found=(CPU,)))
    told = found("--emulate")
    assert set(told) == {"ascend310~emulated", "onnxruntime"}
    assert told["ascend310~emulated"]["next_step"] == "pytest -m accuracy --emulate --backend ascend310"
    assert catalogue.entries("runtime")["ascend310"].asked == ["ascend310~emulated"] * 2
    assert set(found("--backend", "ascend310~emulated")) == {"ascend310~emulated"}


def test_a_build_with_stand_ins_is_named_as_one(registry, found):
    registry(ascend310=Runtime(emulator=True, runs=NO_RUNNER))
    told = found("--emulate")["ascend310~emulated"]
    assert told["otherwise"] == "python -m fixtures engines build --emulate --backend ascend310"


def test_stand_ins_are_offered_for_what_is_not_ready(registry, page):
    registry(ascend310=Runtime(emulator=True, runs=NO_RUNNER), ascend310p=Runtime(emulator=True, builds=NO_ATC))
    assert page()[1][-1].split(maxsplit=1) == ["next", "pytest -m accuracy --emulate --backend ascend310,ascend310p"]
    assert not any("stand-ins" in line for line in page("--emulate")[1])


def test_stand_ins_that_need_more_than_those_are_not_offered(registry, page, monkeypatch):
    registry(ascend310=Runtime(emulator=True, runs=NO_RUNNER), ascend310p=Runtime(emulator=True, runs=NO_RUNNER))
    examine = doctor.examine

    def examined(name, emulate, models):
        found = examine(name, emulate, models)
        return replace(found, state=doctor.READY) if emulate and name == "ascend310p" else found

    monkeypatch.setattr(doctor, "examine", examined)
    assert page()[1][-1].split(maxsplit=1) == ["next", "pytest -m accuracy --emulate --backend ascend310p"]


@pytest.mark.parametrize(
    ("device", "told"),
    [
        (NPU, "device 0     310 0000:81:00.0 on card 2048, 2621 of 8192 MB in use: idle"),
        (replace(NPU, busy="python3 (pid 7)"), "busy: python3 (pid 7)"),
        (replace(NPU, unhealthy="Alarm", unknown="no table"), "unhealthy: Alarm; exclusivity unknown: no table"),
        (Device("npu-1", 1, unknown="no npu-smi"), "device 1     npu-1: exclusivity unknown: no npu-smi"),
    ],
)
def test_a_device_is_told_with_who_uses_it(registry, page, device, told):
    registry(ascend310=Runtime(found=(device,)))
    assert any(told in line for line in page()[1])


def test_the_page_is_aligned_and_keeps_commands_whole(registry, page, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    long = Missing("expected a word " * 20, "type " + "word " * 40 + "end")
    registry(ascend310_benchmark=Runtime(runs=long, builds=NO_ATC), torch=Runtime(found=(CPU,)))
    lines = page()[1]
    commands = [line for line in lines if line.split()[:1] == ["next"]]
    assert commands[0].endswith("word end")
    assert 80 < max(len(line) for line in lines if line not in commands) <= 100
    assert not any(line != line.rstrip() for line in lines)
    heads = [line for line in lines if line.startswith(("ascend310_benchmark ", "torch ", "host "))]
    assert len({len(head) - len(head.split(maxsplit=1)[1]) for head in heads}) == 1


def test_a_name_and_its_version_stand_in_one_line(registry, page):
    versions = {f"component{each}": f"1.{each}" for each in range(20)}
    registry(ascend310=Runtime(with_=versions))
    lines = page()[1]
    assert all(any(f"{name} {version}" in line for line in lines) for name, version in versions.items())


def test_digests_are_shortened_and_what_is_no_plain_value_is_left_to_json(registry, page, found):
    registry(ascend310=Runtime())
    assert any(line.endswith(f"toolkit 7.0.0, transpose.py {'f' * 12}") for line in page()[1])
    assert found()["ascend310"]["builds_with"]["more"] == {"a": 1}


def test_the_same_versions_are_told_once(registry, page):
    registry(onnxruntime=Runtime(found=(CPU,), with_={"onnxruntime": "1"}, toolchain_={"onnxruntime": "1"}))
    lines = page()[1]
    assert sum("onnxruntime 1" in line for line in lines) == 1
    assert not any("device 0" in line for line in lines)


def test_the_host_is_told(registry, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGNOFF_TRTEXEC", str(tmp_path / "trtexec"))
    monkeypatch.setenv("SIGNOFF_ENGINE_CACHE", str(tmp_path / "deep" / "store"))
    registry(torch=Runtime(found=(CPU,)))
    doctor.main(["--json"])
    host = json.loads(capsys.readouterr().out)["host"]
    assert (host["engines"], host["engine_store"]) == (0, str(tmp_path / "deep" / "store"))
    assert host["free_gb"] >= 0
    assert host["settings"] == {"SIGNOFF_TRTEXEC": str(tmp_path / "trtexec")}
    doctor.main([])
    assert f"SIGNOFF_TRTEXEC={tmp_path / 'trtexec'} (nothing is there)" in capsys.readouterr().out


def test_engines_are_counted_without_the_graphs_beside_them(registry, capsys, monkeypatch):
    stored = [SimpleNamespace(recipe={"compiler": "tensorrt"}), SimpleNamespace(recipe={"exporter": "torch"})]
    monkeypatch.setattr(doctor.Store, "entries", lambda store: iter(stored))
    registry(torch=Runtime(found=(CPU,)))
    doctor.main(["--json"])
    assert json.loads(capsys.readouterr().out)["host"]["engines"] == 1


def test_a_tool_that_is_named_is_found_by_the_runtimes(registry, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGNOFF_TRTEXEC", "elsewhere")
    registry(torch=Runtime(found=(CPU,)))
    doctor.main(["--json", f"--trtexec={tmp_path}/trtexec"])
    assert json.loads(capsys.readouterr().out)["host"]["settings"] == {"SIGNOFF_TRTEXEC": f"{tmp_path}/trtexec"}


def test_a_store_that_cannot_be_written_is_said(registry, page, monkeypatch):
    registry(torch=Runtime(found=(CPU,)))
    allowed = doctor.os.access
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: mode != doctor.os.W_OK and allowed(path, mode))
    assert any("nothing can be written there" in line for line in page()[1])


def test_the_noise_of_what_is_ready_is_told_with_what_it_lets_show(registry, page, found):
    registry(torch=Runtime(found=(CPU,)), ascend310=Runtime(runs=NO_RUNNER))
    told = " ".join(" ".join(page()[1]).split()).split(" noise ")[1:]  # a line may be wrapped
    assert len(told) == 1
    assert told[0].startswith(
        "5 % (no accelerator: the prior); shows 14.9 % between two such hosts, 12.0 % with three campaigns each; "
        "5 % cannot be shown "
    )
    assert found()["torch"]["noise"]["smallest_margin"] == pytest.approx(0.1487, abs=1e-4)
    assert found()["ascend310"]["noise"] is None


def test_the_noise_is_that_of_the_noisiest_device(registry, found):
    alone = Device("GPU-1", 0, "Tesla T4", facts={"clocks_held_by": ["application clocks"]})
    registry(t4=Runtime(found=(alone,)), t4_rtx=Runtime(found=(alone, replace(alone, id="GPU-2", busy="python3"))))
    assert (found()["t4"]["noise"]["c0"], found()["t4_rtx"]["noise"]["c0"]) == (0.02, 0.05)


def test_a_noise_that_is_no_percentage_is_told_and_breaks_no_backend(registry, capsys, monkeypatch):
    monkeypatch.setenv("SIGNOFF_NOISE", "little")
    registry(torch=Runtime(found=(CPU,)))
    assert doctor.main([]) == 1
    assert "expected a percentage" in capsys.readouterr().err


def test_no_vendor_library_is_imported_by_it():
    script = (
        "import sys; import fixtures.doctor; "
        "heavy = 'torch', 'onnxruntime', 'openvino', 'tensorrt', 'onnx', 'numpy', 'scipy'; "
        "print([name for name in heavy if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
