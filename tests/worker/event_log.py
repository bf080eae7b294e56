"""What happened, told by all processes of a test in one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

ENVIRONMENT = "OFFLOAD_TEST_EVENT_LOG"


class Entry(NamedTuple):
    pid: int
    kind: str
    words: tuple[str, ...]


def write(kind: str, *words: str) -> None:
    """Add a line; short appends of several processes do not mix."""
    path = os.environ.get(ENVIRONMENT)
    if path:
        line = " ".join((str(os.getpid()), kind, *words))
        with Path(path).open("a") as file:
            file.write(f"{line}\n")


def entries(kind: str, first: str | None = None) -> list[Entry]:
    """Return the entries of a kind, of those that begin with a word if it is given."""
    path = Path(os.environ[ENVIRONMENT])
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        pid, its_kind, *words = line.split(" ")
        if its_kind == kind and (first is None or words[0] == first):
            found.append(Entry(int(pid), its_kind, tuple(words)))
    return found
