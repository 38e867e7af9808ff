"""A small aclruntime for tests: what the real one takes silently, what it prints, what kills it.

A model is 256 bytes of header and JSON: `inputs`, `outputs` (name, dtype as a number, shape, size) and `gears`.
Every output j is the first input times j + 1. FAKE_ACL in the environment is JSON: `generation`, and faults by method.
"""

import ctypes
import json
import os
import pathlib
import signal
import sys
import time

import numpy

SETTINGS = json.loads(os.environ.get("FAKE_ACL", "{}"))
LATER = SETTINGS.get("generation") == "G3"
NAMES = {0: "f4", 1: "f2", 2: "i1", 3: "i4", 4: "u1", 9: "i8", 11: "f8", 12: "?"}
LIBC = ctypes.CDLL(None)

if SETTINGS.get("import") == "library":
    raise ImportError("libascendcl.so: cannot open shared object file: No such file or directory")
if LATER:
    infer_options = object


def say(text):
    """Print through the C library, whose buffer a crash does not flush."""
    LIBC.printf(b"%s\n", text.encode())


def fault(method):
    """Do what FAKE_ACL asks for when a method is called; a pair is a fault and how many calls go well before it."""
    asked = SETTINGS.get(method)
    if isinstance(asked, list):
        asked[1] -= 1
        asked = asked[0] if asked[1] == -1 else None
    if asked == "abort":
        say("[ERROR] the last line before the end")
        os.abort()
    if asked == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if asked == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if asked == "hang":
        say("[WARN] still trying")
        while True:
            time.sleep(3600)
    if asked == "garbage":
        os.write(int(sys.argv[1]), b"<html>this is no frame</html>")
    if asked == "leave":
        os._exit(3)
    if asked == "noise":
        line = b"[INFO] noise noise noise noise noise noise noise noise noise noise\n" * 16384
        for _ in range(100):
            os.write(1, line)
    if isinstance(asked, dict):
        for line in asked["lines"]:
            say(line)
        raise RuntimeError(asked["raises"])
    return asked


class session_options:
    loop, log_level, acl_json_path = 1, 2, ""


class tensor_desc:
    def __init__(self, told):
        self.name, self.datatype, self.format = told["name"], told["dtype"], told.get("format", 0)
        self.shape, self.size = list(told["shape"]), told["size"]
        self.realsize = told["size"]


class Tensor:
    def __init__(self, array):
        self._array = numpy.array(array)
        self.device = -1

    def to_device(self, device):
        MemorySummary.up.append(0.25)
        self.device = device

    def to_host(self):
        MemorySummary.down.append(0.5)
        if SETTINGS.get("to_host") != "stays":
            self.device = -1

    def __array__(self, dtype=None, copy=None):
        if self.device != -1:
            say("terminate called after throwing an instance of 'std::runtime_error'")
            os.abort()
        return numpy.array(None, object) if SETTINGS.get("to_host") == "object" else self._array


class MemorySummary:
    up, down = [], []

    @property
    def H2D_time_list(self):
        return list(self.up)

    @property
    def D2H_time_list(self):
        return list(self.down)

    def reset(self):
        self.up.clear()
        self.down.clear()


class Sumary:
    def __init__(self):
        self.exec_time_list = []


class InferenceSession:
    ended = False

    def __init__(self, path, device, options):
        assert isinstance(path, str)
        assert isinstance(device, int)
        assert isinstance(options, session_options)
        say("[INFO] acl init success")
        fault("load")
        self.told = json.loads(pathlib.Path(path).read_bytes()[256:].decode())
        self.inputs = [tensor_desc(told) for told in self.told["inputs"]]
        self.outputs = [tensor_desc(told) for told in self.told["outputs"]]
        self.gears = self.told.get("gears", {})
        self.gear, self.device, self._sumary, self.clock = None, device, Sumary(), 100.0
        self.outsize = None

    def get_inputs(self):
        return list(self.inputs)

    def get_outputs(self):
        return list(self.outputs)

    def _set(self, kind, value):
        say(f"[GEAR] {kind} {value}")
        if value not in self.gears.get(kind, []):
            say("[ERROR] the dymBatch parameter is not correct")
            say(f"[ERROR] model has dynamic batch size:{self.gears.get(kind)}, please set correct")
            raise RuntimeError("[1][ACL: invalid parameter] ")
        self.gear = value

    def set_dynamic_batchsize(self, batch):
        self._set("batch", batch)
        self.inputs[0].realsize = self.inputs[0].size * batch // max(self.gears["batch"])
        return 0

    def set_dynamic_hw(self, height, width):
        self._set("hw", [height, width])
        self._fit(f"{self.inputs[0].name}:1,1,{height},{width}")
        return 0

    def set_dynamic_dims(self, text):
        self._set("dims", text)
        self._fit(text)
        return 0

    def set_dynamic_shape(self, text):
        say(f"[GEAR] shape {text}")
        self._fit(text)
        return 0

    def set_custom_outsize(self, sizes):
        self.outsize = sizes
        return 0

    def _fit(self, text):
        for found, part in zip(self.inputs, text.split(";")):  # noqa: B905 (Python 3.7)
            shape = [int(axis) for axis in part.rpartition(":")[2].split(",")]
            found.realsize = int(numpy.prod(shape)) * numpy.dtype(NAMES[found.datatype]).itemsize

    def run(self, names, feeds):
        if self.ended or len(feeds) > len(self.inputs):
            os.kill(os.getpid(), signal.SIGSEGV)
        fault("run")
        for index, (wanted, tensor) in enumerate(zip(self.inputs, feeds)):  # noqa: B905
            if tensor._array.nbytes != wanted.realsize:
                size = f"in size:{tensor._array.nbytes} needsize:{wanted.realsize}"
                say(f"[ERROR] Check i:{index} name:{wanted.name} {size} not match")
                say("[ERROR] Check InVector failed ret:-1")
                raise RuntimeError("[-1][ACL: general failure] ")
            assert tensor.device == self.device
        if any(not output.size for output in self.outputs) and not self.outsize:
            say("[ERROR] out i:0 size is zero")
            raise RuntimeError("[3011][Infer: find outputsize is zero please check outputsize is set correct] ")
        if SETTINGS.get("tells"):
            say(f"[RUN] {feeds[0]._array.flat[0]:g}")
        took = 1.0 + len(self._sumary.exec_time_list)
        if not SETTINGS.get("forgets"):
            self._sumary.exec_time_list.append((self.clock, self.clock + took) if LATER else took)
        elif not self._sumary.exec_time_list:
            self._sumary.exec_time_list.append(took)
        self.clock += took
        found = []
        for name in names:
            place = [output.name for output in self.outputs].index(name)
            kind = NAMES[self.outputs[place].datatype]
            result = Tensor((feeds[0]._array * (place + 1)).astype(kind))
            result.device = self.device
            found.append(result)
        return found

    def reset_sumaryinfo(self):
        self._sumary.exec_time_list = []
        return 0

    def finalize(self):
        fault("finalize")
        say("[INFO] end to finalize acl")
        self.ended = True
        return 0


if SETTINGS.get("generation") != "G1":
    InferenceSession.sumary = lambda self: self._sumary
if LATER:
    InferenceSession.free_resource = lambda self: 0
