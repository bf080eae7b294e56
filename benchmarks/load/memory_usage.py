"""The memory of a worker and its executors, as PSS: shared pages count proportionally."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

KIBIBYTES_PER_MEBIBYTE = 1024


@dataclass(frozen=True)
class MemoryUsage:
    """PSS in MiB.

    Attributes:
        jobs: number of jobs that had been claimed.
        worker: of the worker's process.
        executors: of each process that runs jobs.
    """

    jobs: int
    worker: float
    executors: tuple[float, ...]

    @property
    def largest_executor(self) -> float:
        return max(self.executors, default=0.0)


def measure_memory(worker: int, jobs: int = 0) -> MemoryUsage | None:
    """Measure a worker and its executors.

    Args:
        worker: process id.
        jobs: number of jobs that have been claimed.

    Returns:
        None if a process has just exited.
    """
    try:
        root = psutil.Process(worker)
        # The worker's direct children start the executors and resource trackers.
        starters = {child.pid for child in root.children()}
        executors = [p.pid for p in root.children(recursive=True) if p.pid not in starters]
        return MemoryUsage(jobs, _pss(worker), tuple(_pss(pid) for pid in executors))
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def _pss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / KIBIBYTES_PER_MEBIBYTE
    return 0.0
