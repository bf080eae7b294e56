"""A log of events that all processes of a test write to one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from tests.whole_lines import whole_lines

ENVIRONMENT = "OFFLOAD_TEST_EVENT_LOG"


class Entry(NamedTuple):
    pid: int
    kind: str
    words: tuple[str, ...]


def write(kind: str, *words: str) -> None:
    """Append a line; short appends of several processes do not mix."""
    path = os.environ.get(ENVIRONMENT)
    if path:
        line = " ".join((str(os.getpid()), kind, *words))
        with Path(path).open("a") as file:
            file.write(f"{line}\n")


def folder() -> Path:
    """Return the folder of the log."""
    return Path(os.environ.get(ENVIRONMENT, os.devnull)).parent


def entries(kind: str, first: str | None = None) -> list[Entry]:
    """Return the entries of a kind, only those with this first word if given."""
    matching = []
    for line in whole_lines(Path(os.environ[ENVIRONMENT])):
        pid, kind_of_line, *words = line.split(" ")
        if kind_of_line == kind and (first is None or words[0] == first):
            matching.append(Entry(int(pid), kind_of_line, tuple(words)))
    return matching
