"""The emulated aclruntime: names, texts, printed lines, sizes, times and deaths of the real module, in a child each."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

SITE = Path(__file__).resolve().parents[1] / "fixtures" / "emulator" / "site"

PRELUDE = """
import json, sys
import aclruntime as acl, numpy as np
answer = None
image = np.random.default_rng(3).random((4, 3, 8, 8), dtype=np.float32)
out = "Relu_1:0:out"
def opened(path="static.om", device=0):
    return acl.InferenceSession(path, device, acl.session_options())
def error(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except BaseException as raised:
        return [type(raised).__name__, str(raised)]
def borrowed(array):
    return acl.BaseTensor(array.ctypes.data, array.nbytes)
def fed(array):
    tensor = acl.Tensor(array)
    tensor.to_device(0)
    return tensor
def host(tensor):
    tensor.to_host()
    return np.array(tensor)
"""

NURSERY = """
import atexit, ctypes, json, os, sys, traceback
import numpy, onnx, onnx.shape_inference, onnxruntime
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
for number, path in enumerate(order["streams"], 1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
os.environ.update(order["env"])
os.chdir(order["cwd"])
status = 0
try:
    exec(compile(order["script"], "script", "exec"), globals())
except BaseException:
    traceback.print_exc()
    status = 1
atexit._run_exitfuncs()
for stream in (sys.stdout, sys.stderr):
    stream.flush()
ctypes.CDLL(None).fflush(None)
os._exit(status)
"""
"""Imports once what is slow; every script then runs in a process of its own, as if it had started there. A fork leaves
without the destructors of C++, since onnxruntime's wait for threads that a fork has not."""

GENERAL, INVALID, NO_MEMORY = (
    "[-1][ACL: general failure] ",
    "[1][ACL: invalid parameter] ",
    "[2][ACL: memory allocation fail] ",
)


@dataclass(frozen=True)
class Ran:
    """What a script printed natively, what it left in `answer`, and how it ended."""

    lines: list[str]
    answer: Any
    status: int
    stderr: str


def _emulated_om() -> Any:
    spec = importlib.util.spec_from_file_location("emulated_om", SITE / "emulated_om.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WEIGHT = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)


def write(path: Path, shape: tuple[int, ...], **meta: Any) -> None:
    """Write a convolution and ReLU of this input shape."""
    open_shape = [axis if axis > 0 else f"axis{index}" for index, axis in enumerate(shape)]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["c"], pads=[1] * 4), helper.make_node("Relu", ["c"], ["out"])],
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, open_shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4, "h", "w"])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    known = {
        "soc_version": "Ascend310",
        "inputs": [{"name": "image", "shape": list(shape), "dtype": "float32"}],
        "outputs": [{"name": "Relu_1:0:out", "shape": [shape[0], 4, *shape[2:]], "dtype": "float32"}],
        "gears": {},
        "dynamic": False,
        "precision_mode": "force_fp16",
        "command": ["atc"],
        "tuned": 1.0,
        "cann": "7.0.0",
    }
    _emulated_om().write(path, model.SerializeToString(), known | meta)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write(folder / "static.om", (4, 3, 8, 8))
    write(folder / "full.om", (4, 3, 8, 8), precision_mode="force_fp32")
    write(folder / "tuned.om", (4, 3, 8, 8), tuned=2.0)
    write(folder / "batches.om", (-1, 3, 8, 8), gears={"batch": [1, 2, 4, 8]})
    write(folder / "sizes.om", (1, 3, -1, -1), gears={"hw": [[8, 8], [16, 8]]})
    write(folder / "dims.om", (-1, 3, -1, -1), gears={"dims": [[1, 8, 8], [2, 16, 16]]})
    write(folder / "open.om", (-1, 3, -1, -1), dynamic=True)
    write(folder / "other_soc.om", (4, 3, 8, 8), soc_version="Ascend310P3")
    write(folder / "newer.om", (4, 3, 8, 8), cann="8.0.RC1")
    half = {"dtype": "float16", "shape": [4, 4, 8, 8], "name": "out"}
    write(folder / "half.om", (4, 3, 8, 8), outputs=[half])
    aipp = {"dtype": "uint8", "shape": [4, 8, 8, 3], "name": "image"}
    write(folder / "aipp.om", (4, 3, 8, 8), inputs=[aipp], aipp={"mean": [10, 20, 30], "var": [0.1, 0.2, 0.3]})
    (folder / "empty.om").write_bytes(b"")
    (folder / "onnx.om").write_bytes(onnx.ModelProto().SerializeToString() + b"x" * 400)
    (folder / "cut.om").write_bytes((folder / "static.om").read_bytes()[:-100])
    two = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("Sub", ["a", "b"], ["d"])],
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 8]) for name in "ab"],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 8]) for name in "sd"],
    )
    model = helper.make_model(two, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    entries = [[{"name": name, "shape": [2, 8], "dtype": "float32"} for name in names] for names in ("ab", "sd")]
    meta = {"soc_version": "Ascend310", "inputs": entries[0], "outputs": entries[1], "cann": "7.0.0"}
    _emulated_om().write(folder / "two.om", model.SerializeToString(), meta)
    return folder


@pytest.fixture(scope="session")
def nursery() -> Iterator[subprocess.Popen[str]]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SIGNOFF_", "PYTHON"))}
    command = [sys.executable, "-B", "-c", NURSERY]
    env = clean | {"PYTHONPATH": str(SITE)}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def run(models: Path, tmp_path: Path, nursery: subprocess.Popen[str]) -> Any:
    def _run(script: str, scenario: dict[str, Any] | None = None, **env: str) -> Ran:
        (tmp_path / "scenario.json").write_text(json.dumps(scenario or {}))
        order = {
            "script": f"{PRELUDE}\n{script}\nsys.stderr.write(json.dumps(answer))\n",
            "env": {"SIGNOFF_EMULATOR_SCENARIO": str(tmp_path / "scenario.json"), **env},
            "cwd": str(models),
            "streams": [str(tmp_path / "out"), str(tmp_path / "err")],
        }
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        nursery.stdin.write(json.dumps(order) + "\n")
        nursery.stdin.flush()
        if not select.select([nursery.stdout], [], [], 60)[0]:
            nursery.kill()
            pytest.fail("expected the script to end within a minute")
        status = int(nursery.stdout.readline())
        with (tmp_path / "out").open(newline="") as stream:
            lines = stream.read().split("\n")
        stderr = (tmp_path / "err").read_text()
        return Ran(lines, json.loads(stderr) if status == 0 else None, status, stderr)

    return _run


def after(lines: list[str], first: str) -> list[str]:
    """Return the lines from the first that starts so."""
    return lines[next(index for index, line in enumerate(lines) if line.startswith(first)) :]


LOADED = ["[INFO] acl init success", "[INFO] open device 0 success"]
END = ["[INFO] end to destroy context", "[INFO] end to reset device is 0", "[INFO] end to finalize acl", ""]

NAMES = (
    "BaseTensor InferenceSession MemorySummary Tensor batch bool double dtype float16 float32 int16 int32 int64 int8 "
    "memory_device memory_dvpp memory_host model session_options sumary tensor_desc type uint16 uint32 uint64 uint8"
)


class TestSurface:
    def test_has_the_names_of_the_real_module_and_no_more(self, run: Any) -> None:
        ran = run("answer = [[n for n in dir(acl) if not n.startswith('__')], acl.__doc__]")
        assert ran.answer == [NAMES.split(), None]

    def test_g3_has_infer_options_free_resource_and_a_static_finalize(self, run: Any) -> None:
        ran = run(
            "s = acl.InferenceSession\n"
            "answer = [hasattr(acl, 'infer_options'), hasattr(s, 'free_resource'), s.finalize(), s.__name__,"
            "len([n for n in dir(s) if n.startswith('aipp_set_')]), acl.infer_options().output_names]",
            {"generation": "G3"},
        )
        assert ran.answer == [True, True, 0, "InferenceSession", 11, []]

    def test_takes_positions_only_and_says_so_as_pybind11_does(self, run: Any) -> None:
        ran = run(
            "o = acl.session_options(); s = opened()\n"
            "answer = [error(acl.InferenceSession, 'static.om', 0), error(acl.InferenceSession, 'static.om', '0', o),"
            "error(acl.InferenceSession, __import__('pathlib').Path('static.om'), 0, o), error(s.run, [out], image),"
            "error(s.run, [out], feeds=[]), error(acl.InferenceSession, path='static.om', device=0, options=o),"
            "error(s.set_dynamic_batchsize, 1.5)]"
        )
        assert {kind for kind, _ in ran.answer} == {"TypeError"}
        text = ran.answer[3][1]
        assert text.startswith(
            "run(): incompatible function arguments. The following argument types are supported:\n    1. (self: "
        )
        assert "Invoked with: <Model>" in text

    def test_options_are_the_object_given_and_take_effect_at_the_next_run(self, run: Any) -> None:
        ran = run(
            "o = acl.session_options(); before = [o.loop, o.log_level, o.acl_json_path]\n"
            "s = acl.InferenceSession('static.om', 0, o); s.options().loop = 3; s.run([], [borrowed(image)])\n"
            "answer = [before, s.options() is o, len(s.sumary().exec_time_list)]"
        )
        assert ran.answer == [[1, 2, ""], True, 3]

    def test_dtypes_print_compare_and_pickle_as_in_pybind11(self, run: Any) -> None:
        ran = run(
            "import pickle; d = acl.dtype.float32\n"
            "answer = [repr(d), str(d), d.name, int(d), d == 0, repr(acl.dtype(27)), int(acl.double),"
            "pickle.loads(pickle.dumps(d)) == d, str(acl.memory_device), acl.Tensor.__module__]"
        )
        expected = ["<dtype.float32: 0>", "dtype.float32", "float32", 0, True, "<dtype.???: 27>", 11, True]
        assert ran.answer == [*expected, "type.memory_device", "aclruntime"]

    def test_describes_itself_line_for_line(self, run: Any) -> None:
        ran = run("s = opened(); answer = [str(s), repr(s)]")
        text = (
            "<Model>\ndevice:\t0\ninput:\n  #0    image  (4, 3, 8, 8)  float32  3072  3072\n"
            "output:\n  #0    Relu_1:0:out  (4, 4, 8, 8)  float32  4096  4096\n"
        )
        assert ran.answer == [text, text]

    def test_descriptors_are_written_through(self, run: Any) -> None:
        ran = run(
            "s = opened(); d = s.get_inputs()[0]; types = [type(d.format).__name__, type(d.shape).__name__]\n"
            "d.realsize = 4; small = error(s.run, [], [borrowed(image)]); d.realsize = image.nbytes; d.name = 'zz'\n"
            "answer = [types, small, len(s.run([], {'zz': fed(image)})), error(setattr, d, 'size', 'x')[0]]"
        )
        assert ran.answer == [["int", "list"], ["RuntimeError", GENERAL], 0, "TypeError"]
        assert "[ERROR] Check i:0 name:image in size:3072 needsize:4 not match" in ran.lines


def test_is_a_distribution_of_version_002_and_ends_like_any_process(models: Path) -> None:
    script = f"{PRELUDE}\nfrom importlib.metadata import version\nprint(version('aclruntime'))\ns = opened()"
    env = {**os.environ, "PYTHONPATH": str(SITE), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=models, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == "0.0.2"
    assert done.stdout.split("\n")[-5:] == ["[INFO] unload model success, model Id is 1", *END]


class TestTensor:
    def test_needs_a_session_in_its_thread(self, run: Any) -> None:
        assert run("answer = error(acl.Tensor, image)").answer == ["RuntimeError", NO_MEMORY]

    def test_keeps_known_types_and_takes_any_other_for_bytes(self, run: Any) -> None:
        ran = run(
            "s = opened(); kinds = 'int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 bool'\n"
            "same = {k: acl.Tensor(np.ones((2, 3), k)).dtype.name for k in kinds.split()}\n"
            "odd = [np.ones((2, 3), k) for k in (np.longlong, np.ulonglong, np.complex64, '>f4', 'S4')]\n"
            "tensors = [acl.Tensor(o) for o in odd] + [acl.Tensor(b'abc')]\n"
            "answer = [same, [[t.dtype.name, t.shape, np.array(t).nbytes] for t in tensors],"
            "error(acl.Tensor, [1.0])[0], acl.Tensor(np.float32(1)).shape, acl.Tensor(np.zeros((0, 2))).shape]"
        )
        same, odd, listed, scalar, empty = ran.answer
        assert {key: value for key, value in same.items() if key != value} == {"float64": "double"}
        assert odd == [["uint8", [2, 3], 6]] * 5 + [["uint8", [3], 3]]
        assert (listed, scalar, empty) == ("TypeError", [], [0, 2])

    def test_ignores_strides(self, run: Any) -> None:
        ran = run(
            "s = opened(); a = np.arange(6, dtype='f4').reshape(2, 3)\n"
            "t = acl.Tensor(a.T); b = np.arange(10, dtype='f4')\n"
            "answer = [t.shape, np.array(t).ravel().tolist(), np.array(acl.Tensor(b[::2])).tolist(),"
            "np.array(acl.Tensor(b[::-1])).tolist() == b[::-1].tolist()]"
        )
        assert ran.answer == [[3, 2], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4], False]

    def test_moves_in_place_and_counts_each_copy_once(self, run: Any) -> None:
        ran = run(
            "s = opened(); t = acl.Tensor(image); text = str(t); m = acl.MemorySummary()\n"
            "t.to_device(0); t.to_device(0); there = [t.device, str(t.type)]; t.to_host(); t.to_host()\n"
            "counts = [len(m.H2D_time_list), len(m.D2H_time_list)]; acl.MemorySummary().reset()\n"
            "same = bool((np.array(t) == image).all())\n"
            "answer = [text, there, [t.device, str(t.type)], counts, m.H2D_time_list, same]"
        )
        text = "<Tensor>\nshape:\t(4, 3, 8, 8)\ndtype:\tfloat32\ndevice:\t-1"
        there, here = [0, "type.memory_device"], [-1, "type.memory_host"]
        assert ran.answer == [text, there, here, [1, 1], [], True]

    def test_refuses_a_device_that_is_not_there_and_stays(self, run: Any) -> None:
        ran = run(
            "s = opened(); t = acl.Tensor(image); answer = [error(t.to_device, 7), error(t.to_device, -1), t.device]"
        )
        failed = ["RuntimeError", "[1004][Invalid parameter] "]
        assert ran.answer == [failed, failed, -1]
        assert "deviceId(7) is bigger than deviceCount(4)" in ran.lines
        assert "deviceId(-1) is less than 0" in ran.lines

    def test_on_the_device_it_kills_who_reads_it(self, run: Any) -> None:
        script = "s = opened(); answer = error(np.array, fed(image))"
        kind, text = run(script).answer
        assert kind == "EmulatedCrash"
        assert "tensor is in npu. can't convert to numpy array" in text
        assert run(script, SIGNOFF_EMULATOR_STRICT="1").status == -signal.SIGABRT

    def test_on_the_host_it_is_a_view_or_a_copy_and_outlives_the_end(self, run: Any) -> None:
        ran = run(
            "s = opened(); t = s.run([out], [borrowed(image)])[0]; t.to_host(); s.finalize()\n"
            "copy, view = np.array(t), np.asarray(t); view[0] = 7\n"
            "answer = [copy.flags.owndata, bool((np.asarray(t)[0] == 7).all()), bool((copy[0] == 7).all())]"
        )
        assert ran.answer == [True, True, False]

    def test_a_borrowed_pointer_is_a_capsule_and_its_size_unsigned(self, run: Any) -> None:
        ran = run("answer = [type(borrowed(image).buf).__name__, acl.BaseTensor(0, -1).size]")
        assert ran.answer == ["PyCapsule", 2**64 - 1]

    def test_batch_stacks_or_joins_and_refuses_what_differs(self, run: Any) -> None:
        ran = run(
            "s = opened(); one, two = acl.Tensor(image), acl.Tensor(image[:2].copy())\n"
            "answer = [acl.batch([one, one]).shape, acl.batch([one, two], keep_dims=True).shape,"
            "error(acl.batch, [one, two]), error(acl.batch, [])]"
        )
        refused = ["RuntimeError", "[1004][Invalid parameter] "]
        assert ran.answer == [[2, 4, 3, 8, 8], [6, 3, 8, 8], refused, refused]


class TestRun:
    def test_computes_with_half_precision_between_float32_ends(self, run: Any) -> None:
        script = "s = opened({!r}); answer = host(s.run([s.get_outputs()[0].name], [borrowed(image)])[0]).tolist()"
        image = np.random.default_rng(3).random((4, 3, 8, 8), dtype=np.float32)
        exact = convolved(image, WEIGHT)
        half = np.asarray(run(script.format("static.om")).answer)
        assert (half == half.astype(np.float16)).all()
        assert 0 < np.abs(half - exact).max() < 0.02
        full = np.asarray(run(script.format("full.om")).answer)
        assert np.abs(full - exact).max() < 1e-4
        assert (full != full.astype(np.float16)).any()

    def test_gives_each_named_output_on_the_device_in_order(self, run: Any) -> None:
        ran = run(
            "s = opened('two.om'); a = np.full((2, 8), 3, 'f4'); b = np.ones((2, 8), 'f4')\n"
            "def values(names, feeds): return [float(host(t)[0, 0]) for t in s.run(names, feeds)]\n"
            "feeds = [borrowed(a), borrowed(b)]; t = s.run(['s'], feeds)[0]\n"
            "answer = [[t.device, str(t.type)], values(['d', 's'], feeds), values(['d'], [fed(a), fed(b)]),"
            "values(['s', 'd'], {'b': fed(b), 'a': fed(a)}), s.run([], feeds)]"
        )
        assert ran.answer == [[0, "type.memory_device"], [2, 4], [2], [4, 2], []]

    def test_a_result_outlives_the_next_run_and_a_name_asked_twice_is_empty_the_second_time(self, run: Any) -> None:
        ran = run(
            "s = opened('two.om'); a, b, c = (np.full((2, 8), v, 'f4') for v in (3, 1, 9))\n"
            "one = s.run(['s'], [borrowed(a), borrowed(b)]); s.run(['s'], [borrowed(c), borrowed(b)])\n"
            "twice = s.run(['s', 's'], [borrowed(a), borrowed(b)])\n"
            "answer = [float(host(one[0])[0, 0]), float(host(twice[0])[0, 0]), error(twice[1].to_host)]"
        )
        assert ran.answer == [4, 4, ["RuntimeError", "[1004][Invalid parameter] "]]

    def test_counts_bytes_only(self, run: Any) -> None:
        ran = run(
            "s = opened(); wrong = [image.view('i4'), image.view('u1').ravel(), image.astype('f8')[:2].copy()]\n"
            "answer = [len(s.run([out], [borrowed(w)])) for w in wrong] + [len(s.run([out], [fed(w)])) for w in wrong]"
        )
        assert ran.answer == [1] * 6

    @pytest.mark.parametrize("feed", ["[borrowed(image[:1])]", "[fed(image[:1])]", "{'image': fed(image[:1])}"])
    def test_refuses_another_size_in_bytes(self, run: Any, feed: str) -> None:
        ran = run(f"s = opened(); answer = error(s.run, [out], {feed})")
        assert ran.answer == ["RuntimeError", GENERAL]
        assert after(ran.lines, "[ERROR]")[:2] == [
            "[ERROR] Check i:0 name:image in size:768 needsize:3072 not match",
            "[ERROR] Check InVector failed ret:-1",
        ]

    @pytest.mark.parametrize(
        ("feed", "lines"),
        [
            ("[borrowed(a)]", ["[WARN] intensors in:1 need:2 not match", "[ERROR] Set InputsData failed ret:-1"]),
            ("[]", ["[WARN] intensors in:0 need:2 not match", "[ERROR] Set InputsData failed ret:-1"]),
            (
                "{'a': fed(a), 'x': fed(a)}",
                ["[ERROR] intensors i:1 name:b not find", "[ERROR] Check InVector failed ret:-1"],
            ),
            (
                "{'a': fed(a)}",
                ["[ERROR] intensors size:1 need size:2 not match", "[ERROR] Check InVector failed ret:-1"],
            ),
        ],
    )
    def test_refuses_too_few_inputs_and_wrong_names(self, run: Any, feed: str, lines: list[str]) -> None:
        ran = run(f"s = opened('two.om'); a = np.zeros((2, 8), 'f4'); answer = error(s.run, ['s'], {feed})")
        assert ran.answer == ["RuntimeError", GENERAL]
        assert after(ran.lines, lines[0])[:2] == lines

    def test_dies_of_one_input_too_many(self, run: Any) -> None:
        script = "s = opened(); answer = error(s.run, [out], [borrowed(image), borrowed(image)])"
        assert run(script).answer[0] == "EmulatedCrash"
        assert run(script, SIGNOFF_EMULATOR_STRICT="1").status == -signal.SIGSEGV

    def test_no_handler_of_exceptions_takes_a_death_for_an_error(self, run: Any) -> None:
        ran = run("try:\n    opened().run([out], [borrowed(image)] * 2)\nexcept Exception:\n    pass")
        assert ran.status == 1
        assert "EmulatedCrash" in ran.stderr

    def test_refuses_a_tensor_of_the_host(self, run: Any) -> None:
        kind, text = run("s = opened(); answer = error(s.run, [out], [acl.Tensor(image)])").answer
        assert kind == "EmulatedCrash"
        assert "host memory" in text

    def test_finds_an_unknown_output_out_after_the_execution(self, run: Any) -> None:
        ran = run("s = opened(); answer = [error(s.run, ['nope'], [borrowed(image)]), len(s.sumary().exec_time_list)]")
        assert ran.answer == [["RuntimeError", GENERAL], 1]
        assert after(ran.lines, "[ERROR]")[:2] == [
            "[ERROR] outnames nope not valid",
            "[ERROR] Get OutTensors failed ret:-1",
        ]

    def test_a_loop_prints_its_progress_and_zero_loops_give_garbage(self, run: Any) -> None:
        ran = run(
            "s = opened(); s.options().loop = 2; s.run([], [borrowed(image)]); s.options().loop = 0\n"
            "t = s.run([out], [borrowed(image)])[0]; count = len(s.sumary().exec_time_list)\n"
            "answer = [count, t.shape, float(host(t).max())]"
        )
        assert ran.lines[4:6] == ["", "\rloop inference exec: (1/2)\rloop inference exec: (2/2)"]
        assert ran.answer[:2] == [2, [4, 4, 8, 8]]
        assert ran.answer[2] < -1e8

    def test_a_failing_run_never_frees_what_it_borrowed(self, run: Any) -> None:
        ran = run(
            "s = opened(); from emulated_device import HOST; before = HOST.used[0]\n"
            "for _ in range(5): s.run([out], [borrowed(image)])\n"
            "good = HOST.used[0] - before\n"
            "for _ in range(5): error(s.run, ['nope'], [borrowed(image)])\n"
            "answer = [good, HOST.used[0] - before]"
        )
        assert ran.answer == [0, 5 * 3072]

    def test_takes_the_code_of_a_full_memory_for_a_size(self, run: Any) -> None:
        ran = run("s = opened(); answer = error(s.run, [out], [acl.BaseTensor(image.ctypes.data, 2**60)])")
        assert ran.answer == ["RuntimeError", GENERAL]
        assert any(line.endswith(f"MxbsMalloc failed device size:{2**60} ret:2") for line in ran.lines)
        assert "[ERROR] Check i:0 name:image in size:2 needsize:3072 not match" in ran.lines


class TestTimes:
    def test_are_single_precision_milliseconds_on_a_grid_of_microseconds(self, run: Any) -> None:
        ran = run(
            "s = opened(); s.options().loop = 4; s.run([], [borrowed(image)]); first = s.sumary()\n"
            "times = first.exec_time_list; s.reset_sumaryinfo(); answer = [times, first.exec_time_list]"
        )
        times, reset = ran.answer
        assert reset == []
        assert len(times) == 4
        assert all(time == float(np.float32(round(time, 3))) > 0 for time in times)
        assert times[0] > 1 + times[1]

    def test_are_the_same_each_time_and_on_every_host(self, run: Any) -> None:
        script = "s = opened(); s.options().loop = 9; s.run([], [borrowed(image)]); answer = s.sumary().exec_time_list"
        assert run(script).answer == run(script, OMP_NUM_THREADS="1").answer

    def test_follow_tuning_load_and_precision(self, run: Any) -> None:
        script = (
            "s = opened({!r}); s.options().loop = 50; s.run([], [borrowed(image)])\n"
            "answer = sum(s.sumary().exec_time_list[1:])"
        )
        plain = run(script.format("static.om")).answer
        assert run(script.format("tuned.om")).answer < 0.8 * plain
        assert run(script.format("static.om"), {"state": "busy"}).answer > 1.5 * plain

    def test_are_kept_per_session_and_copies_per_process(self, run: Any) -> None:
        ran = run(
            "one, two = opened(), opened(); one.run([], [borrowed(image)]); two.run([], [borrowed(image)])\n"
            "two.run([], [fed(image)])\n"
            "answer = [len(s.sumary().exec_time_list) for s in (one, two)] + [len(acl.MemorySummary().H2D_time_list)]"
        )
        assert ran.answer == [1, 2, 3]

    def test_of_g3_are_pairs_whose_zero_point_survives_a_reset(self, run: Any) -> None:
        ran = run(
            "s = opened(); s.options().loop = 2; s.run([], [borrowed(image)]); first = s.sumary().exec_time_list\n"
            "s.reset_sumaryinfo(); s.run([], [borrowed(image)]); answer = [first, s.sumary().exec_time_list]",
            {"generation": "G3"},
        )
        first, second = ran.answer
        flat = [time for pair in (*first, *second) for time in pair]
        assert flat == sorted(flat)
        assert all(len(pair) == 2 for pair in first)


class TestDynamic:
    def test_a_batch_gear_changes_realsize_and_the_shape_of_results(self, run: Any) -> None:
        ran = run(
            "s = opened('batches.om'); d = s.get_inputs()[0]; before = [d.shape, d.size, d.realsize]\n"
            "code = s.set_dynamic_batchsize(2); o = s.get_outputs()[0]\n"
            "t = s.run([out], [borrowed(image[:2])])[0]\n"
            "bad = [error(s.set_dynamic_batchsize, n) for n in (3, 0, -1, 16)]\n"
            "still = d.realsize; s.set_staticbatch()\n"
            "answer = [before, code, still, [o.size, o.realsize], host(t).shape, bad, d.realsize]"
        )
        refused = [["RuntimeError", INVALID]] * 4
        assert ran.answer == [[[-1, 3, 8, 8], 6144, 6144], 0, 1536, [8192, 8192], [2, 4, 8, 8], refused, 1536]
        assert "[INFO] check dynamic batch success" in ran.lines
        assert after(ran.lines, "[ERROR]")[:4] == [
            "[ERROR] the dymBatch parameter is not correct",
            "[ERROR] model has dynamic batch size:{[1][2][4][8]}, please set correct dynamic batch size",
            "[WARN] Check failed:processModel->CheckDynamicBatchSize(batchsize, is_dymbatch), ret:1",
            "",
        ]

    def test_without_a_gear_the_execution_fails(self, run: Any) -> None:
        ran = run("s = opened('batches.om'); answer = error(s.run, [out], [borrowed(np.zeros((8, 3, 8, 8), 'f4'))])")
        assert ran.answer == ["RuntimeError", GENERAL]
        assert after(ran.lines, "[ERROR]")[:3] == [
            "[ERROR] execute model failed, modelId is 1",
            "[ERROR] acl execute failed:1",
            "[ERROR] Execute Infer failed ret:-1",
        ]

    def test_a_static_model_has_no_gears_and_stays_usable(self, run: Any) -> None:
        ran = run(
            "s = opened(); answer = [error(s.set_dynamic_batchsize, 4), error(s.set_dynamic_hw, 8, 8),"
            "error(s.set_dynamic_dims, 'image:4,3,8,8'), len(s.run([out], [borrowed(image)]))]"
        )
        assert ran.answer == [["RuntimeError", INVALID], ["RuntimeError", INVALID], ["RuntimeError", GENERAL], 1]
        assert "[ERROR] the dynamic_batch_size parameter is not specified for model conversion" in ran.lines
        assert "[ERROR] the dynamic_image_size parameter is not specified for model conversion" in ran.lines
        unended = "the dynamic_dims parameter is not specified for model conversion[INFO] unload model success"
        assert any(line.startswith(unended) for line in ran.lines)

    def test_image_sizes_are_pairs_of_the_model(self, run: Any) -> None:
        ran = run(
            "s = opened('sizes.om'); code = s.set_dynamic_hw(16, 8); a = np.zeros((1, 3, 16, 8), 'f4')\n"
            "answer = [code, s.run([out], [borrowed(a)])[0].shape, error(s.set_dynamic_hw, 8, 16)]"
        )
        assert ran.answer == [0, [1, 4, 16, 8], ["RuntimeError", INVALID]]
        assert "[INFO] check dynamic image size success." in ran.lines
        assert "[ERROR] the dymHW parameter is not correct" in ran.lines

    def test_dims_are_gears_of_every_axis(self, run: Any) -> None:
        ran = run(
            "s = opened('dims.om'); a = np.zeros((2, 3, 16, 16), 'f4'); unset = error(s.run, [out], [borrowed(a)])\n"
            "code = s.set_dynamic_dims('image:2,3,16,16'); shape = s.run([out], [borrowed(a)])[0].shape\n"
            "answer = [unset, code, shape, error(s.set_dynamic_dims, 'image:3,3,16,16')]"
        )
        assert ran.answer == [["RuntimeError", GENERAL], 0, [2, 4, 16, 16], ["RuntimeError", GENERAL]]
        assert "[WARN] check failed dym gearcount:2 but dymtype:0 not set" in ran.lines
        assert after(ran.lines, "[ERROR] the dynamic_dims")[:5] == [
            "[ERROR] the dynamic_dims parameter is not correct",
            "[ERROR] model has 2 gear of dims",
            "[ERROR] dims[0]:[1][3][8][8]",
            "[ERROR] dims[1]:[2][3][16][16]",
            "[ERROR] check dynamic dims failed, please set correct dymDims paramenter",
        ]

    def test_open_outputs_need_a_size_from_outside(self, run: Any) -> None:
        ran = run(
            "s = opened('open.om'); code = s.set_dynamic_shape('image:2,3,20,24'); a = np.zeros((2, 3, 20, 24), 'f4')\n"
            "unset = error(s.run, [out], [borrowed(a)]); s.set_custom_outsize([100000])\n"
            "t = s.run([out], [borrowed(a)])[0]\n"
            "s.set_custom_outsize([10]); small = error(s.run, [out], [borrowed(a)])\n"
            "answer = [code, unset, host(t).shape, small, error(s.set_dynamic_shape, 'imag:2,3,8,8')]"
        )
        zero = "[3011][Infer: find outputsize is zero please check outputsize is set correct] "
        wrong = ["RuntimeError", GENERAL]
        assert ran.answer == [0, ["RuntimeError", zero], [2, 4, 20, 24], wrong, wrong]
        assert after(ran.lines, "[ERROR]")[:3] == [
            "[ERROR] out i:0 size is zero",
            "[ERROR] create outmemory data failed:3011",
            "[ERROR] Set InputsData failed ret:3011",
        ]
        assert "[ERROR] the dymShape parameter set error, please check input name" in ran.lines

    def test_a_static_model_takes_a_shape_and_then_runs_no_more(self, run: Any) -> None:
        ran = run(
            "s = opened(); code = s.set_dynamic_shape('image:1,3,8,8'); d = s.get_inputs()[0].realsize\n"
            "answer = [code, d, error(s.run, [out], [borrowed(image)]), error(s.run, [out], [borrowed(image[:1])])]"
        )
        assert ran.answer == [0, 768, ["RuntimeError", GENERAL], ["RuntimeError", GENERAL]]


class TestTypes:
    def test_an_output_of_half_precision_is_described_and_given_as_such(self, run: Any) -> None:
        ran = run(
            "s = opened('half.om'); o = s.get_outputs()[0]; t = s.run(['out'], [borrowed(image)])[0]\n"
            "answer = [o.datatype.name, o.size, t.dtype.name, str(host(t).dtype)]"
        )
        assert ran.answer == ["float16", 2048, "float16", "float16"]

    def test_an_input_through_aipp_is_bytes_with_the_channels_last(self, run: Any) -> None:
        ran = run(
            "s = opened('aipp.om'); d = s.get_inputs()[0]; x = np.full((4, 8, 8, 3), 40, 'u1')\n"
            "got = host(s.run([out], [borrowed(x)])[0])\n"
            "answer = [d.datatype.name, d.format, d.shape, d.size, got[0, :, 4, 4].tolist()]"
        )
        *described, got = ran.answer
        assert described == ["uint8", 1, [4, 8, 8, 3], 768]
        seen = np.stack([np.full((8, 8), value, np.float32) for value in (3.0, 4.0, 3.0)])[None]
        assert np.abs(np.asarray(got) - convolved(seen, WEIGHT)[0, :, 4, 4]).max() < 0.05


class TestLife:
    def test_prints_how_it_starts_and_ends(self, run: Any) -> None:
        ran = run("s = opened(); answer = [s.finalize(), s.finalize()]; del s")
        assert ran.answer == [0, 0]
        loaded = ["[INFO] load model static.om success", "[INFO] create model description success"]
        assert ran.lines == [*LOADED, *loaded, "[INFO] unload model success, model Id is 1", *END]

    def test_ends_by_itself_at_exit(self, run: Any) -> None:
        assert run("s = opened()").lines[-5:] == ["[INFO] unload model success, model Id is 1", *END]

    def test_native_lines_come_late_in_a_pipe(self, run: Any) -> None:
        assert run("s = opened(); print('python', flush=True)").lines[0] == "python"

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("none.om", "145002"), ("empty.om", "145006"), ("onnx.om", "145006"), ("cut.om", "145006"),
            ("other_soc.om", "507008"), ("newer.om", "100012"),
        ],
    )  # fmt: skip
    def test_refuses_every_bad_file_with_the_same_error(self, run: Any, path: str, said: str) -> None:
        ran = run(f"answer = [error(opened, {path!r}), str(opened())[:7]]")
        assert ran.answer == [["RuntimeError", INVALID], "<Model>"]
        assert ran.lines[:2] == LOADED
        assert said in ran.lines[2]
        assert ran.lines[3:7] == [
            f"[ERROR] load model from file failed, model file is {path}",
            "[WARN] Check failed:processModel->LoadModelFromFile(modelPath), ret:1",
            "",
            "[WARN] no model had been loaded, unload failed",
        ]

    def test_the_device_decides_which_soc_it_loads(self, run: Any) -> None:
        script = "answer = [error(opened, p) and 1 for p in ('static.om', 'other_soc.om')]"
        assert run(script, SIGNOFF_EMULATOR_SOC="Ascend310P3").answer == [1, None]

    def test_a_sister_grade_loads_and_does_not_run(self, run: Any) -> None:
        script = "s = opened('other_soc.om'); answer = error(s.run, [out], [borrowed(image)])"
        ran = run(script, {"soc": "Ascend310P1"})
        assert ran.answer == ["RuntimeError", GENERAL]
        assert any("507011" in line for line in ran.lines)

    @pytest.mark.parametrize("device", [4, -1])
    def test_names_a_device_that_is_not_there(self, run: Any, device: int) -> None:
        ran = run(f"answer = [error(opened, 'static.om', {device}), str(opened())[:7]]")
        assert ran.answer == [["RuntimeError", "[107001][Error code unknown] "], "<Model>"]
        assert ran.lines[2:4] == [f"[ERROR] acl open device {device} failed", "SetDevice failed. ret=107001"]

    def test_dies_without_options_and_goes_on_without_acl(self, run: Any) -> None:
        ran = run(
            "o = acl.session_options(); o.acl_json_path = 'none.json'\n"
            "s = acl.InferenceSession('static.om', 0, o); answer = error(acl.model, 'static.om')"
        )
        assert ran.answer[0] == "EmulatedCrash"
        assert "[ERROR] acl init failed" in ran.lines
        assert any(line.startswith("DeviceManager InitDevices failed. ret=") for line in ran.lines)

    def test_the_end_is_that_of_the_whole_process(self, run: Any) -> None:
        ran = run(
            "one, two = opened(), opened(); t = two.run([out], [borrowed(image)])[0]; f = fed(image); one.finalize()\n"
            "d = one.get_inputs()[0].name\n"
            "answer = [error(acl.Tensor, image), error(two.run, [out], [f]), error(two.run, [out], [borrowed(image)]),"
            "error(t.to_host), error(one.run, [], [])[0], d, two.finalize()]"
        )
        lost = ["RuntimeError", NO_MEMORY]
        assert ran.answer == [lost, lost, ["RuntimeError", GENERAL], lost, "EmulatedCrash", "image", 0]

    def test_after_the_end_a_run_kills(self, run: Any) -> None:
        script = "s = opened(); s.finalize(); s.run([out], [borrowed(image)])"
        assert run(script, SIGNOFF_EMULATOR_STRICT="1").status == -signal.SIGSEGV

    def test_a_descriptor_dies_with_its_session(self, run: Any) -> None:
        ran = run("d = opened().get_inputs()[0]; answer = error(lambda: d.name)[0]")
        assert ran.answer == "EmulatedCrash"

    def test_another_thread_has_no_context_until_it_binds_one(self, run: Any) -> None:
        ran = run(
            "import threading; s = opened(); f = fed(image); t = s.run([out], [f])[0]; answer = []\n"
            "def work():\n"
            "    answer.extend([error(acl.Tensor, image), error(s.run, [out], [f]),"
            "error(s.run, [out], [borrowed(image)]), error(t.to_host)])\n"
            "    other = opened(); answer.append(len(s.run([out], [borrowed(image)])))\n"
            "worker = threading.Thread(target=work); worker.start(); worker.join()\n"
            "answer.append(len(s.run([out], [borrowed(image)])))"
        )
        lost = ["RuntimeError", NO_MEMORY]
        assert ran.answer == [lost, lost, ["RuntimeError", GENERAL], lost, 1, 1]

    def test_the_log_level_of_the_last_session_is_that_of_the_process(self, run: Any) -> None:
        ran = run("o = acl.session_options(); o.log_level = 4; s = acl.InferenceSession('static.om', 0, o)")
        assert ran.lines == [*LOADED, ""]

    def test_level_one_describes_the_model(self, run: Any) -> None:
        ran = run("o = acl.session_options(); o.log_level = 1; s = acl.InferenceSession('static.om', 0, o)")
        assert "4 3 8 8 " in ran.lines
        assert "[DEBUG] the name of 0 input: image" in ran.lines


class TestG3Life:
    def test_frees_a_session_and_fails_without_dying(self, run: Any) -> None:
        ran = run(
            "s = opened(); answer = [s.free_resource(), error(s.run, [out], []), s.free_resource(),"
            "acl.InferenceSession.finalize(), s.finalize(), error(s.set_staticbatch)]",
            {"generation": "G3"},
        )
        assert ran.answer == [0, ["RuntimeError", INVALID], 1, 0, 0, ["RuntimeError", INVALID]]
        assert "[ERROR] SetContext failed: device 0 is not set or context 0 is not created." in ran.lines
        assert "[INFO] end to reset device 0" in ran.lines
        assert "[INFO] end to destroy context" not in ran.lines

    def test_runs_in_another_thread_but_makes_no_tensor_there(self, run: Any) -> None:
        ran = run(
            "import threading; s = opened(); answer = []\n"
            "def work(): answer.extend([error(acl.Tensor, image), len(s.run([out], [borrowed(image)]))])\n"
            "worker = threading.Thread(target=work); worker.start(); worker.join()",
            {"generation": "G3"},
        )
        assert ran.answer == [["RuntimeError", NO_MEMORY], 1]

    def test_a_freed_session_leaves_no_context_for_the_tensors_of_others(self, run: Any) -> None:
        ran = run(
            "one, two = opened(), opened(); two.run([], [borrowed(image)]); one.free_resource()\n"
            "answer = [error(acl.Tensor, image), len(two.run([out], [borrowed(image)]))]",
            {"generation": "G3"},
        )
        assert ran.answer == [["RuntimeError", NO_MEMORY], 1]


class TestFiles:
    def test_are_read_straight_to_the_device(self, run: Any, tmp_path: Path) -> None:
        script = (
            "s = opened(); paths = []\n"
            f"for i in range(4): paths.append({str(tmp_path)!r} + f'/{{i}}.bin'); image[i].tofile(paths[-1])\n"
            "make = lambda p: s.create_tensor_from_fileslist(s.get_inputs()[0], p)\n"
            "answer = [error(make, paths), error(make, paths * 2), error(make, ['none.bin'])]\n"
            "if answer[0] is None: answer.append(bool((host(make(paths)) == image).all()))"
        )
        refused = ["RuntimeError", INVALID]
        assert run(script).answer == [None, refused, refused, True]
        later = run(script, {"generation": "G3"})
        assert later.answer == [refused, refused, refused]
        assert "[ERROR] offset:768 filesize:768 > size:768 invalid" in later.lines


class TestFaults:
    def test_a_failing_execution_leaves_the_good_times(self, run: Any) -> None:
        ran = run(
            "s = opened(); s.options().loop = 5; answer = [error(s.run, [out], [borrowed(image)]),"
            "len(s.sumary().exec_time_list)]",
            {"acl": {"fault": "exec_fail", "after": 2}},
        )
        assert ran.answer == [["RuntimeError", GENERAL], 2]
        assert any("507011" in line for line in ran.lines)
        assert after(ran.lines, "[ERROR]")[:3] == [
            "[ERROR] execute model failed, modelId is 1",
            "[ERROR] acl execute failed:1",
            "[ERROR] Execute Infer failed ret:-1",
        ]

    def test_memory_may_be_short_for_the_model_or_its_outputs(self, run: Any) -> None:
        ran = run("answer = error(opened)", {"acl": {"fault": "oom_load"}})
        assert ran.answer == ["RuntimeError", INVALID]
        ran = run("s = opened(); f = fed(image); answer = error(s.run, [out], [f])", {"acl": {"fault": "oom_run"}})
        assert ran.answer == ["RuntimeError", NO_MEMORY]
        tail = "\n".join(ran.lines)
        assert "[ERROR] MemoryHelper::MxbsMalloc failed.i:0 name:Relu_1:0:out size:4096 ret:2\n" in tail
        assert "[ERROR] create outmemory data failed:2\n[ERROR] Set InputsData failed ret:2\n" in tail

    def test_a_crash_kills_in_the_run_that_was_asked_for(self, run: Any) -> None:
        script = "s = opened()\nfor i in range(3): s.run([], [borrowed(image)]); print(f'run{i}', file=sys.stderr)"
        ran = run(script, {"acl": {"fault": "crash", "after": 2}})
        assert ran.status == -signal.SIGABRT
        assert ran.stderr.startswith("run0\nrun1\n")
        assert "run2" not in ran.stderr

    def test_a_hang_never_ends(self, run: Any) -> None:
        # The alarm's default action ends the process: nothing of it runs while the call holds the interpreter.
        ran = run(
            "import signal, threading; s = opened(); s.run([], [borrowed(image)])\n"
            "signal.setitimer(signal.ITIMER_REAL, 0.3)\n"
            "threading.Timer(0.05, lambda: __import__('os')._exit(7)).start(); s.run([], [borrowed(image)])",
            {"acl": {"fault": "hang", "after": 1}},
        )
        assert ran.status == -signal.SIGALRM

    def test_results_may_be_wrong_by_as_much_as_is_asked(self, run: Any) -> None:
        script = (
            "s = opened(); answer = [np.array(host(s.run([out], [borrowed(image)])[0])).tolist() for _ in range(2)]"
        )
        good = np.asarray(run(script).answer)
        biased = np.asarray(run(script, {"acl": {"bias": 0.5, "after": 1}}).answer)
        assert np.abs(biased[0] - good[0]).max() == 0
        assert np.abs(biased[1] - good[1] - 0.5).max() < 1e-5
        noisy = np.asarray(run(script, {"acl": {"noise": 0.01}}).answer)
        assert 0.009 < (noisy - good).std() < 0.011
        missing = run(script, {"acl": {"nan": True}}).answer
        assert np.isnan(np.asarray(missing, dtype=float)).sum() == 2

    def test_a_driver_that_fails_opens_no_device(self, run: Any) -> None:
        ran = run("answer = error(opened)", {"state": "driver_error"})
        assert ran.answer == ["RuntimeError", "[507899][Error code unknown] "]

    def test_a_scenario_that_is_wrong_stops_the_import(self, run: Any) -> None:
        ran = run("", {"generation": "G9"})
        assert ran.status == 1
        assert "expected one of G2, G3" in ran.stderr


def convolved(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return ReLU of the 3 x 3 convolution with zero padding, in double precision: N x C x H x W."""
    padded = np.pad(image.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.maximum(np.einsum("nchwij,ocij->nohw", windows, weight.astype(np.float64)), 0)


FRONT = os.environ.get("SIGNOFF_TEST_AIS_BENCH")


@pytest.mark.skipif(not FRONT, reason="SIGNOFF_TEST_AIS_BENCH does not name the folder of the public ais_bench")
class TestFrontEnd:
    """PYTHONPATH's way in: the folder of the front end, then what it imports (tqdm, pkg_resources), colon separated."""

    def start(self, models: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("SIGNOFF_", "PYTHON"))}
        clean |= {"PYTHONPATH": f"{SITE}{os.pathsep}{FRONT}", **env}
        command = [sys.executable, "-B", "-m", "ais_bench", *args]
        return subprocess.run(command, cwd=models, env=clean, capture_output=True, text=True, timeout=60, check=False)

    def test_times_an_empty_input_in_array_mode(self, models: Path) -> None:
        done = self.start(models, "-m", "static.om", "--loop", "20")
        assert done.returncode == 0, done.stderr
        assert "Inference array Processing" in done.stdout
        assert "loop inference exec: (20/20)" in done.stdout
        assert "[INFO] throughput 1000*batchsize.mean(4)/NPU_compute_time.mean(" in done.stdout

    def test_writes_an_output_per_input_and_a_summary(self, models: Path, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        for index in range(10):
            np.full((1, 3, 8, 8), index, np.float32).tofile(tmp_path / "in" / f"img_{index}.bin")
        done = self.start(
            models, "-m", "batches.om", "--dymBatch", "4", "-i", str(tmp_path / "in"), "-o", str(tmp_path),
            "--output_dirname", "out",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"img_{i}_0.bin" for i in range(10)]
        summary = json.loads((tmp_path / "out_summary.json").read_text())
        assert summary["NPU_compute_time"]["count"] == len(summary["npu_compute_time_list"]) == 3

    @pytest.mark.parametrize(
        ("args", "last"),
        [
            (("-m", "onnx.om"), f"RuntimeError: {INVALID}"),
            (("-m", "batches.om"), f"RuntimeError: {GENERAL}"),
            (("-m", "static.om", "--device", "9"), "RuntimeError: [107001][Error code unknown] "),
        ],
    )
    def test_ends_with_the_error_of_the_module(self, models: Path, args: tuple[str, ...], last: str) -> None:
        done = self.start(models, *args)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == last
