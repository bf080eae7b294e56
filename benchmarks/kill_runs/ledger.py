"""The ledger of a run: a file, outside of database and broker, in which jobs note what they do."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

ENVIRONMENT = "KILL_RUN_LEDGER"


class Entry(NamedTuple):
    """A line of the ledger.

    Attributes:
        event: "sent", "refused", "start", "end" or "kill".
        job: the job's number; 0 for a kill.
        pid: the process.
        at: when (monotonic clock of this machine).
    """

    event: str
    job: int
    pid: int
    at: float


def note(event: str, job: int = 0, pid: int | None = None) -> None:
    """Append a line by one write, which survives the process."""
    line = f"{event} {job} {pid or os.getpid()} {time.monotonic():.6f}\n"
    file = os.open(os.environ[ENVIRONMENT], os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def read(path: Path) -> list[Entry]:
    """Return the lines of a ledger; the last one may still be written."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    words = [line.split() for line in lines]
    return [Entry(event, int(job), int(pid), float(at)) for event, job, pid, at in words]
