"""Stand-ins for TensorRT 8.6 to 11, TensorRT-RTX, the CUDA runtime and NVML: enough of each, as documented.

Engines of the stand-in double their input. Device memory is memory of this process, so that addresses are real.
"""

from __future__ import annotations

import ctypes
import enum
import json
import struct
from types import ModuleType, SimpleNamespace
from typing import Any

UUID = bytes(range(16))
NAME = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
DTYPES = {1: "FLOAT", 2: "UINT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF", 11: "FLOAT"}  # float64 is narrowed
BYTES = {"FLOAT": ctypes.c_float, "INT32": ctypes.c_int32, "INT64": ctypes.c_int64}
REFUSED = "Bernoulli"
HEAD = "<4s12xQ4B36x"


def tensorrt(version: str = "10.3.0", name: str = "tensorrt") -> Any:
    """Return a module with the interface of a version."""
    library: Any = ModuleType(name)
    (major, minor), rtx = map(int, version.split(".")[:2]), name == "tensorrt_rtx"
    library.__version__ = version
    library.fail = ""  # what the next call that can fail says
    library.loggers = []

    class ILogger:
        class Severity(enum.IntEnum):
            INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        def __init__(self) -> None:
            library.loggers.append(self)

    def log(logger: Any, severity: str, text: str) -> None:
        logger.log(ILogger.Severity[severity], text)

    builder_flags = ["TF32"] + (["FP16"] if major <= 10 and not rtx else [])
    network_flags = (["EXPLICIT_BATCH"] if major <= 10 and not rtx else []) + (
        ["STRONGLY_TYPED"] if major >= 9 or rtx else []
    )
    library.ILogger = ILogger
    library.BuilderFlag = enum.IntEnum("BuilderFlag", builder_flags, start=0)
    library.NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", network_flags, start=0)
    library.MemoryPoolType = enum.IntEnum("MemoryPoolType", ["WORKSPACE"], start=0)
    library.TensorIOMode = enum.IntEnum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"], start=0)
    library.DataType = enum.IntEnum("DataType", ["FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8", "INT64"], start=0)

    class Network:
        def __init__(self, flags: int) -> None:
            self.flags, self.inputs, self.outputs, self.operators = flags, [], [], []

        num_inputs = property(lambda self: len(self.inputs))
        num_outputs = property(lambda self: len(self.outputs))
        num_layers = property(lambda self: len(self.operators))

        def get_input(self, index: int) -> Any:
            return self.inputs[index]

    class ParserError:
        def __init__(self, node: int, name: str, operator: str) -> None:
            self._node = node
            if major >= 10 or rtx:
                self.node_name, self.node_operator = (lambda: name), (lambda: operator)

        def node(self) -> int:
            return self._node

        def code(self) -> Any:
            return SimpleNamespace(name="UNSUPPORTED_NODE")

        def desc(self) -> str:
            return "false"

    class OnnxParser:
        def __init__(self, network: Network, logger: Any) -> None:
            self.network, self.logger, self.errors = network, logger, []

        num_errors = property(lambda self: len(self.errors))

        def parse(self, data: bytes) -> bool:
            import onnx

            graph = onnx.load_from_string(data).graph
            for number, node in enumerate(graph.node):
                if node.op_type == REFUSED:
                    self.errors.append(ParserError(number, node.name, node.op_type))
                    return False
            weights = {weight.name for weight in graph.initializer}
            self.network.inputs = [_tensor(value) for value in graph.input if value.name not in weights]
            self.network.outputs = [_tensor(value) for value in graph.output]
            self.network.operators = [node.op_type for node in graph.node]
            return True

        def get_error(self, index: int) -> ParserError:
            return self.errors[index]

    def _tensor(value: Any) -> Any:
        kind = value.type.tensor_type
        dtype = DTYPES[kind.elem_type]
        if major == 8 and dtype == "INT64":
            dtype = "INT32"
        shape = tuple(axis.dim_value or -1 for axis in kind.shape.dim)
        return SimpleNamespace(name=value.name, shape=shape, dtype=library.DataType[dtype])

    class Config:
        def __init__(self) -> None:
            self.flags, self.workspace, self.profiles = {"TF32"}, None, []

        def set_memory_pool_limit(self, pool: Any, size: int) -> None:
            self.workspace = size

        def set_flag(self, flag: Any) -> None:
            self.flags.add(flag.name)

        def clear_flag(self, flag: Any) -> None:
            self.flags.discard(flag.name)

        def add_optimization_profile(self, profile: Any) -> int:
            self.profiles.append(profile.shapes)
            return len(self.profiles) - 1

    if (major, minor) >= (8, 6) or rtx:
        Config.builder_optimization_level = None
    if rtx:
        library.ComputeCapability = enum.IntEnum("ComputeCapability", ["NONE", "CURRENT", "SM75", "SM86"], start=0)
        Config.targets = None

        def set_compute_capability(self: Any, capability: Any, index: int) -> bool:
            self.targets = [capability.name]
            return True

        Config.set_compute_capability = set_compute_capability
    library.IBuilderConfig = Config

    class Profile:
        def __init__(self) -> None:
            self.shapes: dict[str, Any] = {}

        def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
            self.shapes[name] = [low, best, high]

    class Builder:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> Network:
            return Network(flags)

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
            log(self.logger, "INFO", "building")
            log(self.logger, "WARNING", "a weight is small")
            if library.fail:
                log(self.logger, "ERROR", library.fail)
                log(self.logger, "ERROR", "[checkMacros.cpp::catchCudaError::250] Error Code 1: (cudaError 35: ...)")
                return None
            told = {
                "network_flags": network.flags,
                "flags": sorted(config.flags),
                "workspace": config.workspace,
                "level": config.builder_optimization_level,
                "targets": getattr(config, "targets", None),
                "profiles": config.profiles,
                "operators": network.operators,
                "inputs": [[each.name, each.shape, each.dtype.name] for each in network.inputs],
                "outputs": [[each.name, each.shape, each.dtype.name] for each in network.outputs],
            }
            return engine(told, version, b"vtrt" if rtx else b"ftrt")

    if major < 10 and not rtx:
        Builder.max_batch_size = 1

    class Context:
        def __init__(self, built: ICudaEngine) -> None:
            self.engine, self.shapes, self.addresses = built, {}, {}

        def set_input_shape(self, name: str, shape: Any) -> bool:
            low, _, high = self.engine.get_tensor_profile_shape(name, 0)
            fits = len(shape) == len(low) and all(a <= s <= b for a, s, b in zip(low, shape, high, strict=True))
            if fits:
                self.shapes[name] = tuple(shape)
            else:
                log(self.engine.logger, "ERROR", f"set_input_shape: {name} is outside of the profile")
            return fits

        def infer_shapes(self) -> list[str]:
            return library.unspecified

        def get_tensor_shape(self, name: str) -> Any:
            first = next(iter(self.engine.told["inputs"]))[0]
            shape = self.engine.get_tensor_shape(name)
            batch = self.shapes.get(first, shape)[0]
            return self.shapes.get(name) or (batch if shape[0] == -1 else shape[0], *shape[1:])

        def set_tensor_address(self, name: str, address: int) -> bool:
            self.addresses[name] = address
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            assert stream_handle == int(library.stream)
            library.calls.append("execute_async_v3")
            if library.fail:
                log(self.engine.logger, "ERROR", library.fail)
                return False
            for (source, _, kind), (target, _, _) in zip(
                self.engine.told["inputs"], self.engine.told["outputs"], strict=False
            ):
                count = 1
                for axis in self.shapes[source]:
                    count *= axis
                array = BYTES[kind] * count
                read, write = array.from_address(self.addresses[source]), array.from_address(self.addresses[target])
                for index in range(count):
                    write[index] = read[index] * 2
            return True

    class ICudaEngine:
        num_io_tensors = property(lambda self: len(self.tensors))

        def __init__(self, told: Any, logger: Any) -> None:
            self.told, self.logger = told, logger
            self.tensors = {name: (shape, kind) for name, shape, kind in (*told["inputs"], *told["outputs"])}

        def get_tensor_name(self, index: int) -> str:
            return list(self.tensors)[index]

        def get_tensor_mode(self, name: str) -> Any:
            inputs = [each[0] for each in self.told["inputs"]]
            return library.TensorIOMode.INPUT if name in inputs else library.TensorIOMode.OUTPUT

        def get_tensor_shape(self, name: str) -> Any:
            return tuple(self.tensors[name][0])

        def get_tensor_dtype(self, name: str) -> Any:
            kind = self.tensors[name][1]
            return library.DataType[kind] if kind in library.DataType.__members__ else SimpleNamespace(name=kind)

        def get_tensor_profile_shape(self, name: str, index: int) -> Any:
            assert index == 0
            own = self.told["profiles"][0] if self.told["profiles"] else {}
            return own.get(name) or [self.get_tensor_shape(name)] * 3

        def create_execution_context(self, config: Any = None) -> Context | None:
            library.config = config
            return None if library.no_context else Context(self)

        if rtx:

            def create_runtime_config(self) -> Any:
                return SimpleNamespace()

    if rtx:
        library.DynamicShapesKernelSpecializationStrategy = enum.Enum("Strategy", ["LAZY", "EAGER", "NONE"])

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, data: bytes) -> ICudaEngine | None:
            if library.fail:
                log(self.logger, "ERROR", library.fail)
                return None
            return ICudaEngine(json.loads(data[struct.calcsize(HEAD) :]), self.logger)

    library.no_context, library.unspecified, library.stream, library.calls = False, [], 7, []
    library.Builder, library.OnnxParser, library.ICudaEngine, library.Runtime = (
        Builder,
        OnnxParser,
        ICudaEngine,
        Runtime,
    )
    return library


def engine(told: Any, version: str, magic: bytes = b"ftrt") -> bytes:
    """Return an engine file with the head that is known of TensorRT-RTX."""
    body = json.dumps(told).encode()
    parts = [int(part) for part in version.split(".")]
    return struct.pack(HEAD, magic, struct.calcsize(HEAD) + len(body), *(parts + [0] * 4)[:4]) + body


def told(data: bytes) -> Any:
    """Return what a stand-in's engine was built from."""
    return json.loads(data[struct.calcsize(HEAD) :])


class CudaRuntime:
    """`cuda.bindings.runtime` with one GPU: each call answers `(error, value)`, and is kept in `calls`.

    `faults` maps a function to the error it answers.
    """

    class cudaError_t(enum.IntEnum):
        cudaSuccess = 0
        cudaErrorMemoryAllocation = 2
        cudaErrorInsufficientDriver = 35
        cudaErrorIllegalAddress = 700

    class cudaMemcpyKind(enum.IntEnum):
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    class cudaStreamCaptureMode(enum.IntEnum):
        cudaStreamCaptureModeThreadLocal = 1

    def __init__(self, gpus: tuple[bytes, ...] = (bytes(16), UUID)) -> None:
        self.gpus = gpus
        self.calls: list[str] = []
        self.faults: dict[str, str] = {}
        self.held: dict[int, Any] = {}
        self.device: int | None = None
        self.captured: Any = None
        self.elapsed = iter(float(number) for number in range(1, 1000))

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append(name)
            if name in self.faults:
                return self.cudaError_t[self.faults[name]], None
            answer = getattr(self, f"_{name}", lambda *_: ())(*arguments)
            return self.cudaError_t.cudaSuccess, *answer

        return call

    def cudaGetErrorString(self, error: Any) -> tuple[Any, bytes]:
        return self.cudaError_t.cudaSuccess, b"what CUDA says of it"

    def _cudaGetDeviceCount(self) -> tuple[int]:
        return (len(self.gpus),)

    def _cudaGetDeviceProperties(self, ordinal: int) -> tuple[Any]:
        return (SimpleNamespace(uuid=SimpleNamespace(bytes=self.gpus[ordinal])),)

    def _cudaSetDevice(self, ordinal: int) -> tuple[()]:
        self.device = ordinal
        return ()

    def _cudaStreamCreate(self) -> tuple[int]:
        return (7,)

    def _take(self, size: int) -> tuple[int]:
        memory = ctypes.create_string_buffer(size)
        self.held[ctypes.addressof(memory)] = memory
        return (ctypes.addressof(memory),)

    _cudaMalloc = _cudaMallocHost = _take

    def _give(self, address: int) -> tuple[()]:
        del self.held[address]
        return ()

    _cudaFree = _cudaFreeHost = _give

    def _cudaEventCreate(self) -> tuple[Any]:
        return (object(),)

    def _cudaEventElapsedTime(self, start: Any, end: Any) -> tuple[float]:
        assert start is not end
        return (next(self.elapsed),)

    def _cudaMemcpyAsync(self, target: int, source: int, size: int, kind: Any, stream: Any) -> tuple[()]:
        ctypes.memmove(target, source, size)
        return ()

    def _cudaStreamEndCapture(self, stream: Any) -> tuple[Any]:
        return ("graph",)

    def _cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Any]:
        return ("executable",)


class Nvml(ModuleType):
    """`pynvml` with the GPUs it is given: mappings of what is asked to what is answered, an NVMLError to raise it."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    NVML_ERROR_GPU_IS_LOST, NVML_ERROR_RESET_REQUIRED = 15, 16

    class NVMLError(Exception):
        def __init__(self, value: int) -> None:
            super().__init__(f"NVML error {value}")
            self.value = value

    def __init__(self, *gpus: dict[str, Any], driver: str | bytes | None = "580.65.06") -> None:
        super().__init__("pynvml")
        self.gpus = [T4 | gpu for gpu in gpus]
        self.driver = driver
        self.open = 0

    def nvmlInit(self) -> None:
        if self.driver is None:
            raise self.NVMLError(12)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> Any:
        return self.driver

    def nvmlSystemGetProcessName(self, pid: int) -> str:
        return f"/usr/bin/python3 secret --token {pid}"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any:
        for gpu in self.gpus:
            if gpu["UUID"] == uuid:
                return gpu
        raise self.NVMLError(6)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvmlDeviceGet"):
            raise AttributeError(name)
        asked = name.removeprefix("nvmlDeviceGet")
        if not any(asked in gpu for gpu in self.__dict__.get("gpus", ())):
            raise AttributeError(name)

        def answer(gpu: dict[str, Any], which: int | None = None) -> Any:
            found = gpu[asked]
            if isinstance(found, Exception):
                raise found
            return found[which] if isinstance(found, dict) else found

        return answer


T4 = {
    "UUID": NAME,
    "Name": "Tesla T4",
    "CudaComputeCapability": (7, 5),
    "UtilizationRates": SimpleNamespace(gpu=0, memory=0),
    "MemoryInfo": SimpleNamespace(used=3_000_000, total=16_000_000_000),
    "ComputeRunningProcesses": [],
    "ClockInfo": {1: 585, 2: 5000},
    "MaxClockInfo": {1: 1590, 2: 5001},
    "Temperature": {0: 41},
    "PowerUsage": 27_500,
    "EnforcedPowerLimit": 70_000,
    "PerformanceState": 0,
    "PersistenceMode": 1,
    "ComputeMode": 0,
    "EccMode": (1, 1),
    "CurrPcieLinkGeneration": 3,
    "CurrPcieLinkWidth": 16,
    "CurrentClocksEventReasons": 1,
}
