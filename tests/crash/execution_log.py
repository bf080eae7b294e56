"""The execution log: a file, independent of the queue, to which task bodies append.

Each line is one write to an O_APPEND descriptor. So lines do not mix, are in order, and survive
the process that wrote them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from tests.whole_lines import whole_lines

ENVIRONMENT = "OFFLOAD_TEST_EXECUTION_LOG"


class Entry(NamedTuple):
    event: str
    token: str
    worker: str
    value: str


def write(event: str, token: str, worker: str = "-", value: str = "-") -> None:
    line = f"{event} {token} {worker} {value}\n".encode()
    log = os.open(os.environ[ENVIRONMENT], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    try:
        os.write(log, line)
    finally:
        os.close(log)


def read(path: Path) -> list[Entry]:
    return [Entry(*line.split()) for line in whole_lines(path)]


def by_token(path: Path, event: str) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in read(path):
        if entry.event == event:
            found[entry.token].append(entry)
    return found
