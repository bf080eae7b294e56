"""The file to which a job appends a record when it ends."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

RECORD = struct.Struct("<qqqq")


class Run(NamedTuple):
    """One run of a job: its number, its key, and when it started and ended, in nanoseconds."""

    number: int
    key: int
    started: int
    ended: int


def count_runs(path: Path) -> int:
    """Return how many runs have ended."""
    return path.stat().st_size // RECORD.size


def read_runs(path: Path) -> list[Run]:
    """Return all runs, in the order in which they started."""
    content = path.read_bytes()
    whole = len(content) // RECORD.size * RECORD.size
    runs = [Run(*values) for values in RECORD.iter_unpack(content[:whole])]
    return sorted(runs, key=lambda run: run.started)
