"""Two fixed tasks whose durations show how quiet the machine is."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from comparison.measurements import Measurements

SYNCS = 60
BLOCK = b"x" * 8192
ITERATIONS = 200_000


def measure(folder: Path, contender: str, config: str, measurements: Measurements) -> None:
    """Record both durations, just before the next measurement."""
    measurements.add(contender, config, "fdatasync", fdatasync_microseconds(folder))
    measurements.add(contender, config, "loop", loop_milliseconds())


def fdatasync_microseconds(folder: Path) -> float:
    """Return the median time to write 8 kB to the disk."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            os.pwrite(file.fileno(), BLOCK, 0)
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def loop_milliseconds() -> float:
    """Return the duration of a fixed loop."""
    started = time.perf_counter()
    total = 0
    for number in range(ITERATIONS):
        total += number
    return (time.perf_counter() - started) * 1e3
