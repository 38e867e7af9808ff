"""A trtexec of any version in one script without a library: doubles its input, and goes wrong as it is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NUMBERS = {"8.2.1": 8201, "8.4.1": 8401, "8.5.3": 8503, "8.6.1": 8601, "10.3.0": 100300}
MARKERS = {"7.2.3": "", **{version: f" [TensorRT v{number}]" for version, number in NUMBERS.items()}}

SCRIPT = r"""#!{python} -SE
import array, json, os, signal, struct, sys
from pathlib import Path

told = json.loads(Path({config!r}).read_text())
fault, marker, seven = told["fault"], told["marker"], not told["marker"]
given = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:])
with open({calls!r}, "a") as calls:
    print(json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}}), file=calls)

def say(text, severity="I"):
    print(f"[01/02/2024-03:04:05] [{{severity}}] {{text}}", flush=True)

def end(what, status):
    print(f"&&&& {{what}} TensorRT.trtexec{{marker}} # trtexec", flush=True)
    sys.exit(status)

def fail(text):
    say(text, "E")
    end("FAILED", 1)

print(f"&&&& RUNNING TensorRT.trtexec{{marker}} # trtexec", flush=True)
if "help" in given:
    sys.exit(0)
if fault == "hang":
    signal.pause()
if fault == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if fault == "fail":
    fail("[TRT] Cuda failure: out of memory")
if fault == "unknown":
    fail("Unknown option: --fp16 ")
if fault == "warned":
    say("Shapes are broadcast", "W")
if fault == "silent":
    sys.exit(0)
if fault == "status":
    end("PASSED", 1)
if fault == "override":
    text = "Dynamic dimensions required for input: image, but no shapes were provided."
    say(text + " Automatically overriding shape to: 1x3", "W")
if "saveEngine" in given:
    body = told["magic"].encode() + bytes(12) + struct.pack("<Q4B", 80, *told["parts"], 0) + bytes(52)
    if fault != "nofile":
        Path(given["saveEngine"]).write_bytes(body[:10] if fault == "partial" else body)
    end("PASSED", 0)
if Path(given["loadEngine"]).read_bytes()[:4] != told["magic"].encode():
    fail("Serialization assertion magicTag failed")
name, _, shape = given["shapes"].rpartition(":")
if not seven:
    graph = "includeDataTransfers" in given
    for text, on in (("Data transfers", "noDataTransfers" not in given), ("Spin-wait", "useSpinWait" in given)):
        say(f"{{text}}: {{'Enabled' if on != (fault == 'switch') else 'Disabled'}}")
    bound = "1x3x8x8" if fault == "bound" else shape
    say(f"Input binding for {{'other' if fault == 'name' else name}} with dimensions {{bound}} is created.")
values = array.array("f", Path(given["loadInputs"].rpartition(":")[2]).read_bytes())
times = [(10.0 * n, 2.0 + n % 2) for n in range(int(given["iterations"]))]
if fault != "no_summary":
    mean = 9.0 if fault == "disagree" else 2.5 if len(times) > 1 else 2.0
    if seven:
        say("GPU Compute")
        say(f"mean: {{mean}} ms")
    else:
        say(f"GPU Compute Time: min = 2 ms, max = 3 ms, mean = {{mean}} ms, median = 2 ms")
if fault == "spam":
    for _ in range(1200):
        print("x" * 4095)
if "exportTimes" in given and fault != "no_times":
    rows = [{{"startComputeMs": start, "computeMs": took}} for start, took in times]
    Path(given["exportTimes"]).write_text(json.dumps(rows))
if fault != "no_outputs":
    text = ", ".join(f"{{2 * value:g}}" for value in values)
    dims = "1x1" if fault == "output" else shape
    text = f'[\n  {{{{ "name" : "class"\n  , "dimensions" : "{{dims}}"\n  , "values" : [ {{text}} ]\n  }}}}\n]\n'
    Path(given["exportOutput"]).write_text(text[: len(text) // 2] if fault == "cut" else text)
end("PASSED", 0)
"""


class Fake:
    """The script in a folder, what it is told, and what it was asked."""

    def __init__(self, folder: Path, version: str = "10.3.0") -> None:
        self.path, self._config, self._calls = folder / "trtexec", folder / "config.json", folder / "calls"
        self.path.write_text(SCRIPT.format(python=sys.executable, config=str(self._config), calls=str(self._calls)))
        self.path.chmod(0o755)
        self.magic = ""
        """What its engines start with; empty: what its version writes."""
        self.become(version)

    def become(self, version: str, fault: str = "") -> None:
        """Be of a version, and go wrong in one way from now on."""
        parts = [int(part) for part in version.split(".")]
        magic = self.magic or ("ptrt" if parts[0] < 8 else "ftrt")
        told = {"marker": MARKERS[version], "parts": parts, "fault": fault, "magic": magic}
        self._config.write_text(json.dumps(told))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Return how it was called, without the calls for its help."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [call for call in map(json.loads, lines) if call["argv"] != ["--help"]]
