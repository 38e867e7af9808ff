"""The runtime ascend: what it needs, what does not fit, and the whole path through the emulator's aclruntime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fixtures import catalogue, runtime
from fixtures.ascend import client, devices, environment, om
from fixtures.ascend.session import AscendSession
from fixtures.backend import EMULATED, Backend
from fixtures.case import Case
from fixtures.device import Device
from fixtures.engines import Engine
from fixtures.errors import SetupError
from fixtures.model import Gate, Model, Tensor
from fixtures.runtimes import ascend
from fixtures.runtimes.ascend import RUNTIME
from tests import fake_om

SITE = Path(__file__).parents[1] / "fixtures" / "emulator" / "site"
BACKEND = Backend("ascend310p", "ascend", "fp16", options={"soc_version": "Ascend310P3"})
TWIN = Backend(f"ascend310p{EMULATED}", "ascend", "fp16", options={"soc_version": "Ascend310P3"})
CASE = Case("sample", "tiny", 8, 2, "ascend310p")
NPU = Device("0000:81:00.0", 0, "310P3")


def model(**engine) -> Model:
    return Model(
        *("tiny", "none", "none", (Tensor("image", ("N", 3)),), (Tensor("out", ("N", 3)), Tensor("half", ("N", 3)))),
        profiles={},
        gate=Gate(0.01),
        parity={"fp32": Gate(0.01)},
        engine={"ascend": engine},
    )


@pytest.fixture(autouse=True)
def asked_afresh(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))  # logs of what goes wrong
    ascend.about.cache_clear()
    yield
    ascend.about.cache_clear()


@pytest.fixture
def host(monkeypatch):
    """Stand in for a host with CANN 7.0.0 and one 310P3, whose aclruntime is the fake."""
    monkeypatch.setattr(environment, "missing", lambda backend: None)
    monkeypatch.setattr(environment, "environment", lambda backend: fake_om.environment(generation="G3"))
    monkeypatch.setattr(environment, "python", lambda backend: Path(sys.executable))
    monkeypatch.setattr(environment, "versions", lambda backend: {"toolkit": "7.0.0", "driver": "23.0"})
    monkeypatch.setattr(devices, "devices", lambda backend: (NPU,))
    monkeypatch.setattr(devices, "_look", lambda backend: ((NPU,), ""))
    return monkeypatch


def engine(path: Path, content: bytes = b"", user: bytes = b"", **recipe) -> Engine:
    path.write_bytes(fake_om.header(len(content), user=user) + content)
    return Engine(path, "0" * 64, "key", recipe, 1.0)


# What it needs.


def test_it_is_in_the_registry_with_the_compiler_of_all_runners_of_an_om():
    assert catalogue.find("runtime", "ascend") is RUNTIME
    assert (RUNTIME.name, RUNTIME.emulator, RUNTIME.compiler.name, RUNTIME.compiler.artefact) == (
        *("ascend", True, "ascend", "model.om"),
    )


def test_a_host_without_cann_says_so(monkeypatch):
    nothing = runtime.Missing("no CANN", "install it")
    monkeypatch.setattr(environment, "missing", lambda backend: nothing)
    assert RUNTIME.missing(BACKEND, model()) == nothing


def test_a_host_with_all_of_it_is_ready_and_tells_versions(host):
    assert RUNTIME.missing(BACKEND, model()) is None
    version = ".".join(map(str, sys.version_info[:3]))
    expected = {"toolkit": "7.0.0", "driver": "23.0", "python": version, "numpy": np.__version__}
    found = RUNTIME.versions(BACKEND)
    assert found.pop("aclruntime").endswith("(G3)")
    assert found == expected
    assert RUNTIME.devices(BACKEND) == (NPU,)


def test_its_python_is_asked_once(host):
    asked = []
    real = client.started
    host.setattr(client, "started", lambda *arguments: asked.append(arguments) or real(*arguments))
    for _ in range(3):
        assert RUNTIME.missing(BACKEND, model()) is None
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"PATH": "/usr/bin"}, "No module named 'aclruntime'"),
        (fake_om.environment(**{"import": "library"}), "libascendcl.so"),
    ],
)
def test_a_python_that_lacks_something_says_what(host, env, reason):
    host.setattr(environment, "environment", lambda backend: env)
    found = RUNTIME.missing(BACKEND, model())
    assert found
    assert reason in found.reason
    assert "--ascend-python" in found.next_step
    assert "--ascend-python" not in found.reason


def test_no_python_and_no_such_device_are_named(host):
    host.setattr(devices, "_look", lambda backend: ((Device("a", 0, "310"), Device("b", 1, "310")), ""))
    found = RUNTIME.missing(BACKEND, model())
    assert found
    assert found.reason == "expected a device of Ascend310P3; npu-smi shows 310"
    host.setattr(devices, "_look", lambda backend: ((), "no NPU here: no /dev/davinci*, and npu-smi fails"))
    found = RUNTIME.missing(BACKEND, model())
    assert found
    assert found.reason == "no NPU here: no /dev/davinci*, and npu-smi fails"
    host.setattr(environment, "python", lambda backend: None)
    found = RUNTIME.missing(BACKEND, model())
    assert found
    assert "no Python" in found.reason
    with pytest.raises(SetupError, match="--ascend-python"):
        RUNTIME.versions(BACKEND)


# What does not fit.


@pytest.mark.parametrize(
    ("built", "found"),
    [
        ({}, None),
        ({"target": {"soc_version": "Ascend310P3"}}, None),
        ({"target": {"soc_version": "Ascend310P1"}}, "built for Ascend310P1, ascend310p is Ascend310P3"),
        ({"content": b"\x0bAscend310P3"}, None),
        ({"content": b"\x09Ascend310"}, "built for Ascend310, ascend310p is Ascend310P3"),
        ({"content": b"\x09Ascend310", "target": {"soc_version": "Ascend310P3"}}, None),  # the recipe knows better
        ({"toolchain": {"toolkit": "6.3.RC2"}}, None),
        ({"toolchain": {"toolkit": "7.0.0"}}, None),
        ({"toolchain": {"toolkit": "7.0.RC1"}}, None),
        ({"toolchain": {"toolkit": "7.0.1"}}, "built with CANN 7.0.1, which the older 7.0.0"),
        ({"toolchain": {"toolkit": "8.0.RC1"}}, "built with CANN 8.0.RC1"),
        ({"toolchain": {"toolkit": "10.0.0"}}, "built with CANN 10.0.0"),
        ({"toolchain": {"toolkit": "unknown"}}, None),
        ({"user": om.EMULATED}, "written by the emulator, and ascend310p is not emulated"),
    ],
)
def test_an_engine_fits_its_soc_and_no_older_cann(host, tmp_path, built, found):
    said = RUNTIME.misfit(engine(tmp_path / "m.om", **built), BACKEND)
    assert (said is None) if found is None else (said is not None and found in said)


def test_an_engine_of_a_device_does_not_fit_an_emulator(host, tmp_path):
    assert "written by atc, for a real device" in (RUNTIME.misfit(engine(tmp_path / "m.om"), TWIN) or "")
    assert RUNTIME.misfit(engine(tmp_path / "m.om", user=om.EMULATED), TWIN) is None


def test_an_engine_of_the_emulator_is_never_opened_as_a_devices(host, tmp_path):
    emulated = engine(tmp_path / "m.om", user=om.EMULATED).path
    with pytest.raises(SetupError, match="written by the emulator, and ascend310p is not emulated"):
        RUNTIME.open(emulated, model(), CASE, BACKEND, NPU)


def test_release_candidates_come_before_their_release():
    order = ["6.0.1", "6.3.RC1", "6.3.RC2", "6.3.0", "7.0.0.alpha001", "7.0.1", "8.0.RC1", "10.0.RC1"]
    for place, one in enumerate(order):
        for other_place, other in enumerate(order):
            assert ascend._newer(one, other) == (place > other_place)


def test_what_is_no_om_is_an_error_that_says_what_it_is(host, tmp_path):
    (tmp_path / "m.om").write_bytes(b"<html>")
    with pytest.raises(om.OmError, match="HTML"):
        RUNTIME.misfit(Engine(tmp_path / "m.om", "", "", {}, 1.0), BACKEND)
    with pytest.raises(om.OmError, match="HTML"):
        RUNTIME.open(tmp_path / "m.om", model(), CASE, BACKEND, NPU)


# It runs.


def test_opens_an_engine_on_the_device_it_is_given(host, tmp_path):
    image = np.ones((2, 3), np.float32)
    with RUNTIME.open(fake_om.static(tmp_path / "m.om"), model(), CASE, BACKEND, NPU) as session:
        np.testing.assert_array_equal(session.run((image,))[0], image)
        assert session.device_ms() == (1.0,)


def test_an_engine_is_timed_where_it_runs(host, tmp_path):
    batches = [(np.full((2, 3), number, np.float32),) for number in range(4)]
    with RUNTIME.open(fake_om.static(tmp_path / "m.om"), model(), CASE, BACKEND, NPU) as session:
        timed = session.time(batches, seconds=0, warmup_seconds=0)
    assert timed.device_ms == (1.0, 2.0, 3.0, 4.0)
    np.testing.assert_array_equal(timed.outputs[2][0], batches[2][0])


def test_options_say_how_open_axes_are_set(host, tmp_path):
    # by its axes alone this could be a batch gear
    shape = (-1, 3)
    om_file = fake_om.write(
        tmp_path / "m.om", [fake_om.tensor("x", shape, 48)], [fake_om.tensor("y", shape, 48)], dims=["x:2,3"]
    )
    tiny = model(dynamic_dims="2;4", input_format="ND", input_shape="x:-1,3")
    with RUNTIME.open(om_file, tiny, CASE, BACKEND, NPU) as session:
        assert session.run((np.ones((2, 3), np.float32),))[0].shape == (2, 3)


# Through the emulator: the same worker, another aclruntime.


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> bytes:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    kinds = onnx.TensorProto.FLOAT
    nodes = [onnx.helper.make_node("Relu", ["image"], ["out"]), onnx.helper.make_node("Neg", ["image"], ["half"])]
    ends = [onnx.helper.make_tensor_value_info(name, kinds, ["N", 3]) for name in ("image", "out", "half")]
    made = onnx.helper.make_graph(nodes, "tiny", ends[:1], ends[1:])
    return onnx.helper.make_model(
        made, opset_imports=[onnx.helper.make_opsetid("", 11)], ir_version=8
    ).SerializeToString()


def emulated_om(path: Path, graph: bytes, batch: int, gears: dict) -> Path:
    """Write an OM with the emulator's own code, in a process of its own: the harness never imports it."""
    described = [{"name": name, "shape": [batch, 3], "dtype": "float32"} for name in ("image", "out", "half")]
    meta = {
        "soc_version": "Ascend310P3",
        "inputs": described[:1],
        "outputs": described[1:],
        "gears": gears,
        "dynamic": False,
        "precision_mode": "force_fp16",
        "command": ["atc"],
        "tuned": 1.0,
        "cann": "7.0.0",
    }
    code = "import sys, emulated_om; emulated_om.write(sys.argv[1], sys.stdin.buffer.read(), eval(sys.argv[2]))"
    subprocess.run(
        [sys.executable, "-c", code, path, repr(meta)], input=graph, env={"PYTHONPATH": str(SITE)}, check=True
    )
    return path


@pytest.fixture
def emulator(monkeypatch, tmp_path):
    if not (SITE / "aclruntime.py").is_file():
        pytest.skip("fixtures/emulator has no aclruntime")
    for name in ("SIGNOFF_ASCEND_ENV", "SIGNOFF_ASCEND_PYTHON", "SIGNOFF_EMULATOR_SCENARIO", "SIGNOFF_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    return monkeypatch


def opened(path: Path) -> AscendSession:
    (device, *_) = RUNTIME.devices(TWIN)
    return RUNTIME.open(path, model(), CASE, TWIN, device)


IMAGE = np.array([[1, -2, 3], [0.1, -0.2, 0.3]], np.float32)


@pytest.mark.parametrize("generation", ["G2", "G3"])
def test_the_emulators_aclruntime_runs_a_static_engine(emulator, tmp_path, graph, generation):
    scenario = tmp_path / "scenario.json"
    scenario.write_text(f'{{"generation": "{generation}", "soc": "Ascend310P3", "chips_per_card": 1}}')
    emulator.setenv("SIGNOFF_EMULATOR_SCENARIO", str(scenario))
    assert RUNTIME.missing(TWIN, model()) is None
    assert RUNTIME.versions(TWIN)["aclruntime"] == f"0.0.2 ({generation})"
    with opened(emulated_om(tmp_path / "m.om", graph, 2, {})) as session:
        assert session.signature.inputs == (runtime.Tensor("image", (2, 3), "float32"),)
        assert [output.shape for output in session.signature.outputs] == [(2, 3), (2, 3)]
        out, negated = session.run((IMAGE,))
        np.testing.assert_allclose(out, np.maximum(IMAGE, 0), rtol=1e-3)  # fp16
        np.testing.assert_allclose(negated, -IMAGE, rtol=1e-3)
        session.run((IMAGE,))
        (first, second) = session.device_ms()
        assert min(first, second) > 0
        assert session.device_ms() == ()
        with pytest.raises(client.WorkerError, match="found 2"):
            session.run((IMAGE, IMAGE))


@pytest.mark.parametrize("generation", ["G2", "G3"])
def test_the_emulators_aclruntime_is_timed(emulator, tmp_path, graph, generation):
    scenario = tmp_path / "scenario.json"
    scenario.write_text(f'{{"generation": "{generation}", "soc": "Ascend310P3", "chips_per_card": 1}}')
    emulator.setenv("SIGNOFF_EMULATOR_SCENARIO", str(scenario))
    batches = [(IMAGE * number,) for number in range(1, 6)]
    with opened(emulated_om(tmp_path / "m.om", graph, 2, {})) as session:
        timed = session.time(batches, seconds=0, warmup_seconds=0)
    assert len(timed.device_ms) == len(timed.host_ns) == 5
    assert max(timed.device_ms) < 2  # the first of a session takes 2 ms more: it was in the warm-up
    assert timed.flags == ()
    for place, (_, negated) in timed.outputs.items():
        np.testing.assert_allclose(negated, -batches[place][0], rtol=1e-3)


def test_an_engine_of_a_newer_release_does_not_fit_an_older_one(emulator, tmp_path):
    newer = engine(tmp_path / "m.om", user=om.EMULATED, toolchain={"toolkit": "7.0.0"})
    assert RUNTIME.misfit(newer, TWIN) is None
    (tmp_path / "scenario.json").write_text('{"cann": "5.1.0"}')
    emulator.setenv("SIGNOFF_EMULATOR_SCENARIO", str(tmp_path / "scenario.json"))
    assert "built with CANN 7.0.0, which the older 5.1.0" in (RUNTIME.misfit(newer, TWIN) or "")


def test_the_emulators_aclruntime_runs_a_batch_gear(emulator, tmp_path, graph):
    with opened(emulated_om(tmp_path / "m.om", graph, -1, {"batch": [1, 2, 4]})) as session:
        for batch in (2, 4, 1):
            image = np.ones((batch, 3), np.float32)
            np.testing.assert_array_equal(session.run((image,))[0], image)
        with pytest.raises(client.WorkerError, match="gears"):
            session.run((np.ones((3, 3), np.float32),))


@pytest.mark.parametrize(
    ("fault", "found"),
    [("crash", "killed by|the worker's end"), ("oom_load", "out of memory"), ("exec_fail", "execution failed")],
)
def test_a_fault_of_the_emulator_is_told_in_words(emulator, tmp_path, graph, fault, found):
    scenario = tmp_path / "scenario.json"
    scenario.write_text(f'{{"soc": "Ascend310P3", "chips_per_card": 1, "acl": {{"fault": "{fault}"}}}}')
    emulator.setenv("SIGNOFF_EMULATOR_SCENARIO", str(scenario))
    path = emulated_om(tmp_path / "m.om", graph, 2, {})
    with pytest.raises(client.WorkerError, match=found), opened(path) as session:
        session.run((IMAGE,))


def test_the_wrong_soc_is_told_in_words(emulator, tmp_path, graph):
    scenario = tmp_path / "scenario.json"
    scenario.write_text('{"soc": "Ascend310", "chips_per_card": 4}')
    emulator.setenv("SIGNOFF_EMULATOR_SCENARIO", str(scenario))
    with pytest.raises(client.WorkerError, match="another SoC"):
        RUNTIME.open(emulated_om(tmp_path / "m.om", graph, 2, {}), model(), CASE, TWIN, NPU)
