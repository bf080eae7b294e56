"""How quiet the machine is: two fixed pieces of work."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from arena.figures import Figures

SYNCS = 60
BLOCK = b"x" * 8192
ROUNDS = 200_000


def measure(folder: Path, contender: str, workers: str, figures: Figures) -> None:
    """Note both beside what is measured next."""
    figures.add(contender, workers, "fdatasync", sync_microseconds(folder))
    figures.add(contender, workers, "loop", spin_milliseconds())


def sync_microseconds(folder: Path) -> float:
    """Return the median time to have 8 kB on the disk."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            os.pwrite(file.fileno(), BLOCK, 0)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


def spin_milliseconds() -> float:
    """Return how long a fixed loop takes."""
    begun = time.perf_counter()
    total = 0
    for number in range(ROUNDS):
        total += number
    return (time.perf_counter() - begun) * 1e3
