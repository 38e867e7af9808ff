"""Running atc: one private folder, one at a time, and success only by three signs at once."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures import host, locks
from fixtures.ascend import _atc as atc
from fixtures.ascend import environment
from fixtures.ascend._atc import AtcError, Order
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.runtime import LOG
from tests.cann import GOOD, Toolkit, an_om, install

BACKEND = Backend("ascend310", "ascend", "fp16", options={"soc_version": "Ascend310"})
CASE = Case("sample", "edsr", 256, 1, "ascend310")


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolkit:
    installed = install(tmp_path)
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("SIGNOFF_ASCEND_ENV", str(installed.script))
    return installed


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "building"
    folder.mkdir()
    return folder / "model.om"


def order(tmp_path: Path, *arguments: str) -> Order:
    graph = tmp_path / "graph with blank.onnx"
    graph.write_bytes(b"onnx")
    return Order(CASE, BACKEND, graph, arguments or ("--input_shape=input.1:1,3,256,256",))


def fail(toolkit: Toolkit, tmp_path: Path, target: Path, body: str, timeout: float = 60) -> str:
    """Run an atc that goes wrong; return the message, after a look that nothing of it is left."""
    toolkit.tool("atc", body)
    with pytest.raises(AtcError) as caught:
        atc.build(order(tmp_path), target, timeout=timeout)
    assert not target.exists()
    assert {path.name for path in target.parent.iterdir()} <= {LOG}
    assert str(caught.value).startswith(CASE.id)
    return str(caught.value)


def kept(tmp_path: Path) -> str:
    return (tmp_path / "home" / "logs" / f"atc-sample-{CASE.id}.txt").read_text()


def test_takes_the_om_and_keeps_what_was_printed(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    toolkit.tool("atc", GOOD)
    made = atc.build(order(tmp_path), target)
    assert target.read_bytes() == an_om()
    assert sorted(path.name for path in target.parent.iterdir()) == [LOG, "model.om"]
    text = target.with_name(LOG).read_text()
    assert text.startswith(f"$ {toolkit.root}/bin/atc --model=")
    assert "ATC run success" in text
    assert made.warnings == ()
    assert list(made.command) == toolkit.calls("atc")[0]["argv"]


def test_the_command_names_everything_in_full(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    toolkit.tool("atc", GOOD)
    atc.build(order(tmp_path), target)
    flags = toolkit.flags("atc")
    assert flags["framework"] == "5"
    assert flags["model"] == str(tmp_path / "graph with blank.onnx")
    assert flags["soc_version"] == "Ascend310"
    assert flags["input_shape"] == "input.1:1,3,256,256"
    assert not flags["output"].endswith(".om")
    for name in ("output", "op_compiler_cache_dir"):
        assert Path(flags[name]).is_relative_to(target.parent)


def test_nothing_of_an_earlier_build_or_bank_changes_it(
    toolkit: Toolkit, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "user"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    with toolkit.script.open("a") as script:
        script.write("export TUNE_BANK_PATH=/theirs ASCEND_CACHE_PATH=/theirs REPEAT_TUNE=True ENABLE_TUNE_BANK=True\n")
    toolkit.tool("atc", GOOD)
    atc.build(order(tmp_path), target)
    env = toolkit.calls("atc")[0]["env"]
    assert not set(atc.BANKS) & set(env)
    assert Path(env["HOME"]).is_relative_to(target.parent)  # kernels and banks lie below it
    assert env["PYTHONUSERBASE"] == f"{home}/.local"
    assert Path(toolkit.calls("atc")[0]["cwd"]).is_relative_to(target.parent)
    assert list(home.iterdir()) == []


def test_a_bank_that_is_given_is_used(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    toolkit.tool("atc", GOOD)
    bank = tmp_path / "bank"
    (bank / "Ascend310").mkdir(parents=True)
    (bank / "Ascend310" / "op.json").write_text("knowledge")
    writes = "bank = Path(os.environ['TUNE_BANK_PATH'], 'Ascend310'); assert (bank / 'op.json').read_text()\n"
    toolkit.tool("atc", f"{writes}(bank / 'op.json').write_text('spoilt'); (bank / 'more').touch()\n{GOOD}")
    atc.build(order(tmp_path), target, bank=bank)
    assert Path(toolkit.calls("atc")[0]["env"]["TUNE_BANK_PATH"]).is_relative_to(target.parent)
    assert [path.name for path in bank.rglob("*") if path.is_file()] == ["op.json"]  # atc had a copy
    assert (bank / "Ascend310" / "op.json").read_text() == "knowledge"
    assert sorted(path.name for path in target.parent.iterdir()) == [LOG, "model.om"]


def test_the_packages_of_a_home_that_cannot_be_written_stay(
    toolkit: Toolkit, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "read only"
    home.mkdir()
    writable = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(home) and writable(path, mode))
    monkeypatch.setenv("HOME", str(home))
    toolkit.tool("atc", GOOD)
    atc.build(order(tmp_path), target)
    assert toolkit.calls("atc")[0]["env"]["PYTHONUSERBASE"] == f"{home}/.local"


def test_the_python_the_user_names_is_the_first_on_the_path(
    toolkit: Toolkit, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f"import shutil; Path({str(tmp_path / 'found')!r}).write_text(shutil.which('python3'))\n{GOOD}"
    toolkit.tool("atc", body)
    own = tmp_path / "python3.7.5" / "bin" / "python3"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("SIGNOFF_ASCEND_PYTHON", str(own.with_name("python3.7")))
    atc.build(order(tmp_path), target)
    assert (tmp_path / "found").read_text() == str(own)
    assert atc.private(replace(BACKEND, name="ascend310~emulated"), tmp_path, None)["PATH"].split(":")[0] == str(
        environment.EMULATOR / "bin"
    )


def test_few_kernels_are_compiled_at_a_time_unless_the_user_says(
    toolkit: Toolkit, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(atc.PARALLEL, raising=False)
    monkeypatch.setattr(host, "threads", lambda: 64)
    toolkit.tool("atc", GOOD)
    said = []
    for change in ("none", "fewer processors", "script", "environment"):
        if change == "fewer processors":
            monkeypatch.setattr(host, "threads", lambda: 2)
        if change == "script":
            with toolkit.script.open("a") as script:
                script.write(f"export {atc.PARALLEL}=1\n")
        if change == "environment":
            monkeypatch.setenv(atc.PARALLEL, "16")
        made = atc.build(order(tmp_path), target)
        said.append(made.settings[atc.PARALLEL])
    assert said == ["4", "2", "1", "16"]
    assert [call["env"][atc.PARALLEL] for call in toolkit.calls("atc")] == said


def test_a_stand_in_holds_a_lock_of_its_own() -> None:
    assert atc.lock(BACKEND) == "atc"
    assert atc.lock(replace(BACKEND, name="ascend310~emulated")) != "atc"


@pytest.mark.parametrize("suffix", ["_linux_x86_64", "_linux_aarch64"])
def test_takes_an_om_that_is_named_after_its_host(toolkit: Toolkit, tmp_path: Path, target: Path, suffix: str) -> None:
    toolkit.tool("atc", f"write(flags['output'] + '{suffix}.om'); print(SUCCESS)")
    atc.build(order(tmp_path), target)
    assert target.read_bytes() == an_om()


def test_two_oms_named_after_hosts_are_listed(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    body = "[write(flags['output'] + end) for end in ('_linux_x86_64.om', '_linux_aarch64.om')]; print(SUCCESS)"
    message = fail(toolkit, tmp_path, target, body)
    assert "model_linux_aarch64.om, model_linux_x86_64.om" in message


def test_noise_of_the_log_and_dots_change_nothing(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    noise = "print('[ERROR] GE(1,atc.bin):2023-01-01 [x.cc:1] E19999: ATC run failed?')"
    toolkit.tool("atc", f"{noise}; print(START); print('.' * 100000); write(); print(SUCCESS); {noise}")
    assert atc.build(order(tmp_path), target).warnings == ()


def test_warnings_behind_the_success_are_kept(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    toolkit.tool("atc", f"{GOOD}; print('W11001: Op [Conv_1] does not hit the high-priority operator library')")
    assert atc.build(order(tmp_path), target).warnings == (
        "atc: W11001: Op [Conv_1] does not hit the high-priority operator library",
    )


def test_an_error_code_becomes_a_sentence_with_the_log(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    said = "E10016: Opname [image] specified in --input_shape is not found in the model"
    message = fail(toolkit, tmp_path, target, f"print(START); print(FAILED); print({said!r}); sys.exit(255)")
    assert f"expected atc to build an OM; found exit status 255: {said} (usage: a wrong input name)" in message
    assert "compare `inputs` of the model" in message
    assert "Its last lines:" in message
    assert f"command: {toolkit.root}/bin/atc --model=" in message
    assert f"all it printed: {tmp_path}/home/logs/atc-sample-{CASE.id}.txt" in message
    assert said in kept(tmp_path)


def test_a_success_without_a_file_is_none(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    assert "no model.om nor one" in fail(toolkit, tmp_path, target, "print(SUCCESS)")


def test_a_success_named_twice_om_is_none(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    assert "model.om.om" in fail(toolkit, tmp_path, target, "write(flags['output'] + '.om.om'); print(SUCCESS)")


def test_a_file_without_the_line_of_success_is_none(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    assert "exit status 0 without 'ATC run success'" in fail(toolkit, tmp_path, target, "write(); print(START)")


def test_a_file_and_success_with_a_bad_status_is_none(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    assert "found exit status 255: " in fail(toolkit, tmp_path, target, f"{GOOD}; sys.stdout.flush(); os._exit(255)")


def test_a_wrapper_that_hides_the_status_is_seen_through(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    message = fail(toolkit, tmp_path, target, "print(FAILED); print('E19010: No parser'); write()")
    assert "exit status 0 without" in message
    assert "E19010" in message  # among its last lines


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (an_om()[:100], "truncated copy of 100 bytes"),
        (an_om()[:-1], "cut off"),
        (an_om()[:256], "cut off"),
        (b"\x08\x06\x12\x07pytorch" + bytes(300), "an ONNX graph"),
    ],
)
def test_a_file_that_is_no_whole_om_is_refused(
    toolkit: Toolkit, tmp_path: Path, target: Path, content: bytes, words: str
) -> None:
    assert words in fail(toolkit, tmp_path, target, f"write(content={content!r}); print(SUCCESS)")


def test_an_om_with_a_longer_length_elsewhere_is_only_odd(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    toolkit.tool("atc", f"write(content={an_om(stated=0)!r}); print(SUCCESS)")
    (warning,) = atc.build(order(tmp_path), target).warnings
    assert "header states 0 bytes" in warning


def test_atc_that_is_missing_is_said_with_the_next_step(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    with pytest.raises(AtcError, match=r"expected atc; atc is not on the PATH .*--ascend-env=FILE"):
        atc.build(order(tmp_path), target)


def test_atc_that_is_not_executable_is_said_with_the_next_step(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    toolkit.tool("atc", GOOD).chmod(0o644)
    with pytest.raises(AtcError, match=r"bin/atc is not executable; chmod \+x"):
        atc.build(order(tmp_path), target)


def test_atc_that_cannot_be_started_is_an_error(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    toolkit.tool("atc", GOOD).write_bytes(b"\x7fELF of another machine")
    with pytest.raises(AtcError, match="expected a tool that can be started"):
        atc.build(order(tmp_path), target)
    assert list(target.parent.iterdir()) == []


def test_atc_that_hangs_is_ended_with_its_children(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    body = (
        "print(START, flush=True); import signal\n"
        f"if os.fork() == 0:\n    end = os.open({str(fifo)!r}, os.O_WRONLY)\n    signal.pause()\n"
        "signal.pause()"
    )
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        message = fail(toolkit, tmp_path, target, body, timeout=1)
        assert "expected it to end within 1 s; found it still running" in message
        assert "ATC start working now" in message
        assert "all it printed: " in message
        assert "ATC start working now" in kept(tmp_path)
        fcntl.fcntl(reader, fcntl.F_SETFL, 0)
        assert os.read(reader, 1) == b""  # nobody holds the other end: the child is gone as well
    finally:
        os.close(reader)


def test_atc_that_is_killed_points_to_memory(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    message = fail(toolkit, tmp_path, target, "write(); os.kill(os.getpid(), 9)")
    assert "killed by SIGKILL" in message
    assert "want of memory" in message
    assert "It printed nothing." in message


def test_a_loader_error_points_to_the_environment(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    said = "atc.bin: error while loading shared libraries: libgraph.so: cannot open"
    body = f"print({said!r}, file=sys.stderr); sys.exit(127)"
    message = fail(toolkit, tmp_path, target, body)
    assert "libgraph.so" in message
    assert "--ascend-env" in message


def test_a_hundred_megabytes_of_output_are_cut_in_the_middle(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    spam = "for _ in range(100): sys.stdout.write(('[INFO] GE(1,atc.bin): noise ' + 'x' * 70 + '\\n') * 10000)\n"
    toolkit.tool("atc", f"print(START)\n{spam}write()\nprint(SUCCESS)")
    atc.build(order(tmp_path), target)
    log = target.with_name(LOG)
    assert log.stat().st_size < 5 << 20
    text = log.read_text()
    assert "bytes left out" in text
    assert text.startswith("$ ")
    assert text.endswith("ATC run success, welcome to the next use.\n")


def test_output_without_any_line_end_is_read_in_pieces(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    message = fail(toolkit, tmp_path, target, "sys.stdout.write('.' * (8 << 20)); sys.exit(3)")
    assert len(message) < 5000
    assert "found exit status 3" in message


def test_output_that_is_no_text_is_kept(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    fail(toolkit, tmp_path, target, "sys.stdout.buffer.write(bytes(range(256)) * 10); sys.exit(1)")


def test_a_disk_that_is_full_for_atc_is_named(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    body = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); print(START, flush=True)\n"
        "try: write(content=OM + bytes(1 << 16))\n"
        "except OSError: print(FAILED); print('E13004: write file failed'); sys.exit(255)"
    )
    message = fail(toolkit, tmp_path, target, body)
    assert "E13004" in message
    assert "check the space" in message


def test_an_om_cut_off_by_a_full_disk_is_refused_even_with_success(
    toolkit: Toolkit, tmp_path: Path, target: Path
) -> None:
    whole = an_om(bytes(1 << 16))
    body = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "file = os.open(flags['output'] + '.om', os.O_CREAT | os.O_WRONLY)\n"
        f"os.write(file, {whole[:256]!r} + bytes(1 << 16))\n"
        "print(SUCCESS)"
    )
    assert "an OM cut off" in fail(toolkit, tmp_path, target, body)


def test_a_disk_that_is_full_for_us_passes_as_it_is(
    toolkit: Toolkit, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    toolkit.tool("atc", GOOD)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space") as caught:  # the store explains it, with the space that is left
        atc.build(order(tmp_path), target)
    assert caught.value.errno == errno.ENOSPC
    assert not target.exists()


def test_a_build_that_is_interrupted_leaves_nothing(
    toolkit: Toolkit, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit.tool("atc", f"write(); os.kill({os.getpid()}, {int(signal.SIGINT)}); import signal; signal.pause()")
    with pytest.raises(KeyboardInterrupt):
        atc.build(order(tmp_path), target)
    assert list(target.parent.iterdir()) == []


def hold_it(folder: str, held: multiprocessing.synchronize.Event, go: multiprocessing.synchronize.Event) -> None:
    os.environ["SIGNOFF_LOCKS"] = folder
    with locks.hold(["atc"]):
        held.set()
        go.wait(60)


def test_waits_for_another_atc_of_this_host_and_says_so(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    toolkit.tool("atc", GOOD)
    context = multiprocessing.get_context("spawn")
    held, go = context.Event(), context.Event()
    other = context.Process(target=hold_it, args=(str(tmp_path / "locks"), held, go))
    other.start()
    try:
        assert held.wait(60)
        waited: list[tuple[int, str]] = []

        def say(message: str) -> None:
            waited.append((len(toolkit.calls("atc")), message))
            go.set()

        atc.build(replace(order(tmp_path), say=say), target)
        ((calls, said),) = waited
        assert calls == 0
        assert said.startswith("waiting for atc, held by process ")
        assert len(toolkit.calls("atc")) == 1
    finally:
        go.set()
        other.join()


def test_the_emulator_waits_for_no_atc_of_a_device(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    waited: list[str] = []
    emulated = replace(order(tmp_path), backend=replace(BACKEND, name="ascend310~emulated"), say=waited.append)
    with locks.hold(["atc"]), pytest.raises(AtcError, match="E10041"):  # it ran, and the graph is none
        atc.build(emulated, target)
    assert waited == []


def test_a_python_without_a_module_points_to_the_python(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    said = "ModuleNotFoundError: No module named 'decorator'"
    body = f"print({said!r}); print(FAILED); print('EZ9999: Inner Error!'); sys.exit(255)"
    message = fail(toolkit, tmp_path, target, body)
    assert "EZ9999" in message
    assert "--ascend-python" in message


def test_the_emulator_is_run_like_the_tool(toolkit: Toolkit, tmp_path: Path, target: Path) -> None:
    from onnx import TensorProto, helper, save

    emulated = replace(BACKEND, name="ascend310~emulated")
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8, 8])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), tmp_path / "relu.onnx")
    good = Order(CASE, emulated, tmp_path / "relu.onnx", ("--input_shape=x:1,3,8,8", "--log=error"))
    made = atc.build(good, target)
    assert target.read_bytes()[120:139] == b"EMULATED BY SIGNOFF"
    assert made.command[0] == str(environment.EMULATOR / "bin" / "atc")
    target.unlink()
    with pytest.raises(AtcError, match=r"E10016.*wrong input name"):
        atc.build(replace(good, arguments=("--input_shape=image:1,3,8,8",)), target)
    soc = replace(emulated, options={"soc_version": "Ascend999"})
    with pytest.raises(AtcError, match=r"E10001.*case-sensitive"):
        atc.build(replace(good, backend=soc), target)
