"""Whether something ended because memory did: of the host or of a device. A batch sweep records that, as a result."""

from __future__ import annotations

import re
from pathlib import Path

VMSTAT = Path("/proc/vmstat")
SAID = re.compile(
    r"\bMemoryError\b"
    r"|\bout of memory\b|OutOfMemory"  # CUDA, torch, TensorRT
    r"|cudaErrorMemoryAllocation|CUDNN_STATUS_ALLOC_FAILED"
    r"|\bbad_alloc\b|[Ff]ailed to allocate memory|[Cc]annot allocate memory"  # C++, onnxruntime, torch on a CPU
    r"|memory allocation fail|ACL_ERROR_BAD_ALLOC|ACL_ERROR_RT_MEMORY_ALLOCATION"
)
"""What libraries and drivers print."""
LAST = 20_000
"""Characters: the error is what was printed last."""


def short(text: str) -> bool:
    """Tell whether what was printed last says that memory was short.

    >>> short("RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB"), short("memory of the GPU is damaged")
    (True, False)
    """
    return SAID.search(text[-LAST:]) is not None


def killed() -> int:
    """Return how many processes the kernel has killed since boot for want of memory (Linux 4.13 on); 0 if not told."""
    try:
        return int(next(line for line in VMSTAT.read_text().splitlines() if line.startswith("oom_kill ")).split()[1])
    except (OSError, ValueError, StopIteration):
        return 0
