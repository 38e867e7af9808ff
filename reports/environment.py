"""Where a run was made: the facts that must stay equal, the facts that are only recorded, and the harness itself."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from fixtures import host

CODE = (".py", '.py"', ".ini", ".toml", ".cfg")
"""How files end that decide what is run; git quotes unusual names."""
SYSTEM = Path("/")
"""Where /proc and /sys are read."""

PACKAGES = (
    "cuda-bindings",
    "numpy",
    "nvidia-ml-py",
    "onnx",
    "onnxconverter-common",
    "onnxruntime",
    "onnxruntime-gpu",
    "opencv-python",
    "opencv-python-headless",
    "openvino",
    "pillow",
    "pytest",
    "pytest-benchmark",
    "safetensors",
    "scipy",
    "tensorrt",
    "tensorrt-rtx",
    "torch",
)
"""What can change a figure. Read from the packages' metadata: importing them would load what is to be measured."""

PREFIXES = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "OPENCV_", "MALLOC_")
VARIABLES = ("LD_PRELOAD", "CUDA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES")


def describe() -> dict[str, Any]:
    """Return the facts of this host by tier; None marks a fact that this host does not tell.

    The tiers are those of a comparison: `stable` facts must be equal, a missing one counts as different; `recorded`
    ones change from run to run.
    """
    return {"stable": _stable(), "recorded": _recorded(), "harness": _harness(Path(__file__).resolve().parents[1])}


def _stable() -> dict[str, Any]:
    return {
        "os": _os_name(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cpu": host.model() or None,
        "cores": os.cpu_count(),
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "numa_nodes": _text("sys/devices/system/node/online"),
        "governor": _governor(),
        "smt": _text("sys/devices/system/cpu/smt/active"),
        "cgroup_cpus": _cgroup_cpus(),
        "packages": _versions(PACKAGES),
        "variables": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith(PREFIXES) or name in VARIABLES
        },
    }


def _recorded() -> dict[str, Any]:
    pressure = _text("proc/pressure/cpu")
    return {
        "host": socket.gethostname(),
        "boot_id": _text("proc/sys/kernel/random/boot_id"),
        "uptime_s": float(uptime.split()[0]) if (uptime := _text("proc/uptime")) else None,
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "cpu_pressure": pressure.splitlines()[0] if pressure else None,
        "utc_offset_s": -time.timezone,
        "memory_bytes": _memory_bytes(),  # what the kernel leaves: another one leaves some more or less
    }


def _harness(root: Path) -> dict[str, Any]:
    top = _git(root, "rev-parse", "--show-toplevel")
    ours = top is not None and Path(top).resolve() == root  # not the revision of a repository around this folder
    # What a run writes into the folder it was started in is no change of the harness; a file it would import is.
    status = _git(root, "status", "--porcelain", "--untracked-files=all") if ours else None
    changes = [line for line in (status or "").splitlines() if not line.startswith("??") or line.endswith(CODE)]
    return {
        "version": _versions(("signoff",)).get("signoff"),
        "revision": _git(root, "rev-parse", "HEAD") if ours else None,
        "clean": None if status is None else not changes,
    }


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _text(name: str) -> str | None:
    try:
        return (SYSTEM / name).read_text(errors="replace").strip() or None
    except OSError:
        return None


def _fields(name: str) -> dict[str, str]:
    lines = (line.partition("=") for line in (_text(name) or "").splitlines())
    return {key.strip(): value.strip().strip('"') for key, found, value in reversed(list(lines)) if found}


def _os_name() -> str:
    return _fields("etc/os-release").get("PRETTY_NAME") or platform.system()


def _governor() -> str | None:
    files = sorted((SYSTEM / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(sorted({_text(str(file.relative_to(SYSTEM))) or "unreadable" for file in files})) or None


def _cgroup_cpus() -> float | str | None:
    """Return the processors this process may use by quota, or "unlimited"; the narrowest level counts."""
    told = host.OWN_CGROUPS.exists() or host.CGROUPS.exists()
    return min(host.quotas(), default="unlimited" if told else None)


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
