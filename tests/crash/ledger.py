"""A witness that is independent of the queue: task bodies append to a file.

One write on an O_APPEND descriptor per line: whole lines, in order, and they outlive the
process that wrote them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

ENVIRONMENT = "OFFLOAD_TEST_LEDGER"


class Entry(NamedTuple):
    event: str
    token: str
    worker: str
    value: str


def write(event: str, token: str, worker: str = "-", value: str = "-") -> None:
    line = f"{event} {token} {worker} {value}\n".encode()
    ledger = os.open(os.environ[ENVIRONMENT], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    try:
        os.write(ledger, line)
    finally:
        os.close(ledger)


def read(path: Path) -> list[Entry]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [Entry(*line.split()) for line in lines]


def by_token(path: Path, event: str) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in read(path):
        if entry.event == event:
            found[entry.token].append(entry)
    return found
