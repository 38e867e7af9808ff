"""Reads what ais_bench prints, in the three generations of its throughput line; and the summary it writes as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.logs.ais_bench_block import Block, Blocks
from bench.logs.ais_bench_summary import parse_summary as _parse_summary
from bench.logs.reading import NUMBER, lines, number
from bench.logs.statistics import Statistics

__all__ = ["Block", "Log", "parse", "parse_summary"]

ERRORS = 20
"""How many lines with [ERROR] are kept."""

_FILES = re.compile(
    r"get filesperbatch files0 size:([0-9]{1,18}) tensor0size:([0-9]{1,18}) "
    r"filesperbatch:([0-9]{1,18}) runcount:([0-9]{1,18})"
)
_FACTS = {
    "model_batch": re.compile(r"try get model batchsize:(-?[0-9]{1,9})"),
    "warmup": re.compile(r"warm up ([0-9]{1,9}) done"),
    "loop": re.compile(r"loop inference exec: \([0-9]{1,9}/([0-9]{1,9})\)"),
}
_DEVICE = re.compile(rf"i:[0-9]{{1,9}} device_([0-9]{{1,9}}) throughput:({NUMBER})")
_TOTAL = re.compile(rf"summary throughput:[ \t]{{0,4}}({NUMBER})")
_ENERGY = re.compile(rf"NPU ID:([0-9]{{1,9}}) energy consumption\(J\):({NUMBER})")
_VERSION = re.compile(r"aclruntime version:([0-9A-Za-z.+-]{1,40}) is lower")
_COMMAND = re.compile(r"(?:^|[\s$#])((?:python[0-9.]{0,6} )?(?:-m ais_bench|\S{0,200}ais_infer\.py|msit benchmark) .*)")


@dataclass(frozen=True)
class Log:
    """What one text holds. Each summary in it is a block; the figures of the log are those of the last."""

    blocks: tuple[Block, ...] = ()
    version: str | None = None
    """Of aclruntime; ais_bench tells it only where it finds it too low."""
    command: str | None = None
    facts: Mapping[str, int] = field(default_factory=dict)
    """model_batch (-1: open), warmup, loop; with input files: file_bytes, tensor_bytes, files_per_batch, runs."""
    devices: Mapping[int, float] = field(default_factory=dict)
    """Throughput per device of a run on several."""
    total_throughput: float | None = None
    """Over all devices."""
    energy_j: Mapping[int, float] = field(default_factory=dict)
    """By NPU."""
    errors: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def last(self) -> Block:
        """Return the last summary; one without a figure where there is none."""
        return self.blocks[-1] if self.blocks else Block()

    @property
    def throughput(self) -> float | None:
        """Return samples per second as printed; the total of the devices where nothing else is told."""
        return self.total_throughput if self.last.throughput is None else self.last.throughput

    @property
    def batch(self) -> int | float | None:
        """Return the factor that the tool took for the batch: `--batchsize` sets it, and nothing checks it."""
        return self.last.batch

    @property
    def compute(self) -> Statistics:
        """Return compute of the device alone, in milliseconds per execution."""
        return self.last.compute

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON; null for what the text does not hold."""
        return {
            **self.last.as_dict(),
            "throughput": self.throughput,
            "total_throughput": self.total_throughput,
            "devices": {str(device): rate for device, rate in self.devices.items()},
            "blocks": [block.as_dict() for block in self.blocks],
            "energy_j": {str(npu): joules for npu, joules in self.energy_j.items()},
            "version": self.version,
            "command": self.command,
            "facts": dict(self.facts),
            "errors": list(self.errors),
            "flags": list(self.flags),
            "unread": list(self.unread),
        }


def parse(text: str) -> Log:
    """Read the console of ais_bench in any order of its lines; never raises."""
    read = Blocks()
    facts: dict[str, int] = {}
    devices: dict[int, float] = {}
    energy: dict[int, float] = {}
    errors: list[str] = []
    total: float | None = None
    version: str | None = None
    command: str | None = None
    batches: set[int] = set()
    shapes = tensor_mode = False
    for line in lines(text):
        # Native lines run into the others: what is sought is sought anywhere in a line.
        if read.read_times(line) or read.read_throughput(line):
            continue
        for name, pattern in _FACTS.items():
            if found := pattern.search(line):
                facts[name] = int(found[1])
                batches |= {int(found[1])} if name == "model_batch" else set()
        if found := _FILES.search(line):
            names = ("file_bytes", "tensor_bytes", "files_per_batch", "runs")
            facts |= dict(zip(names, map(int, found.groups()), strict=True))
        elif (found := _DEVICE.search(line)) and (rate := number(found[2])) is not None:
            devices[int(found[1])] = rate
        elif found := _TOTAL.search(line):
            total = number(found[1])
        elif (found := _ENERGY.search(line)) and (joules := number(found[2])) is not None:
            energy[int(found[1])] = joules
        elif found := _VERSION.search(line):
            version, tensor_mode = (None if found[1] == "None" else found[1]), True
        elif "[ERROR]" in line and len(errors) < ERRORS:
            errors.append(line[line.index("[ERROR]") + 7 :].strip()[:500])
        elif "ais_bench" in line or "ais_infer.py" in line or "msit benchmark" in line:
            command = found[1].strip() if (found := _COMMAND.search(line)) else command
        shapes |= "dyshape_range Performance Summary" in line
    if len(batches) > 1:
        del facts["model_batch"]  # several shapes in one text
    of_rate = _devices(devices)
    blocks = [block.on(of_rate.get(block.throughput)) for block in read.all]
    flags = [flag for block in blocks for flag in block.flags()]
    flags += ["several_shapes"] * (shapes or len(batches) > 1) + ["several_devices"] * (len(devices) > 1)
    flags += ["several_summaries"] * (len(blocks) > 1) + ["run_mode_tensor"] * tensor_mode
    flags += ["total_of_devices"] * (total is not None and not any(block.throughput is not None for block in blocks))
    unread = [sentence for block in blocks for sentence in block.unread()]
    unread += [] if blocks else ["no performance summary"]
    return Log(
        tuple(blocks),
        version,
        command,
        facts,
        devices,
        total,
        energy,
        tuple(errors),
        tuple(dict.fromkeys(flags)),
        tuple(dict.fromkeys(unread)),
    )


def parse_summary(text: str) -> Log:
    """Read the summary JSON of any generation, its statistics recomputed from its samples where it has them.

    Raises LogError for text that is no such file.
    """
    block, command, unread = _parse_summary(text)
    return Log((block,), command=command, flags=block.flags(), unread=(*unread, *block.unread()))


def _devices(devices: Mapping[int, float]) -> Mapping[float | None, int | None]:
    """Return the device whose line repeats a throughput; None where two do."""
    found: dict[float | None, int | None] = {}
    for device, rate in devices.items():
        found[rate] = None if rate in found else device
    return found
