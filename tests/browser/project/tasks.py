"""Tasks that a test controls while they run."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from offload import Concurrency, Rate, UserFacingError, is_cancelled, progress, task
from tests.whole_lines import whole_lines

POLL_SECONDS = 0.02


@task(title="Monthly report", expose_result=True)
def controlled(control: str) -> Any:
    return _obey(control)


@task(title="Call the carrier", concurrency=Concurrency(1, key="{owner}"))
def one_at_a_time(control: str) -> Any:
    return _obey(control)


@task(title="Call the carrier", rate=Rate("1/h", key="{owner}"))
def one_an_hour(control: str) -> Any:
    return _obey(control)


@task
def at_once(value: str) -> str:
    return value


@task(title="Merge", expose_result=True)
def merge(first: Any, others: list[str]) -> str:
    return f"{first} {others}"


@task(title="Digest", schedulable=True)
def send_digest(kind: str = "daily") -> str:
    return kind


def _obey(control: str) -> Any:
    """Execute commands from a file, one JSON list a line, as the test appends them."""
    path = Path(control)
    pause = threading.Event()
    executed = 0
    while not is_cancelled():
        for line in whole_lines(path)[executed:]:
            executed += 1
            match json.loads(line):
                case ["progress", done, total, message]:
                    progress(done, total, message)
                case ["return", value]:
                    return value
                case ["fail", message]:
                    raise UserFacingError(message)
        pause.wait(POLL_SECONDS)
    return None
