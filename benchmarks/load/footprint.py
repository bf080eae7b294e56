"""How much memory an engine and its executors have: each shared page counts for its share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

MEBIBYTE = 1024


@dataclass(frozen=True)
class Footprint:
    """PSS in MiB, after so many jobs.

    Attributes:
        jobs: that have been claimed.
        engine: of the engine's process.
        executors: of the processes that run jobs, each.
    """

    jobs: int
    engine: float
    executors: tuple[float, ...]

    @property
    def largest(self) -> float:
        """The largest executor."""
        return max(self.executors, default=0.0)


def footprint(engine: int, jobs: int = 0) -> Footprint | None:
    """Measure an engine by its process id; None if it has just ended.

    Args:
        engine: process id.
        jobs: that have been claimed so far.
    """
    try:
        root = psutil.Process(engine)
        # The engine's children start executors and count what they leave behind.
        starters = {child.pid for child in root.children()}
        executors = [p.pid for p in root.children(recursive=True) if p.pid not in starters]
        return Footprint(jobs, _pss(engine), tuple(_pss(pid) for pid in executors))
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def _pss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / MEBIBYTE
    return 0.0
