"""A task that a test controls while it runs."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from offload import UserFacingError, is_cancelled, progress, task

POLL_SECONDS = 0.02


@task(title="Monthly report", expose_result=True)
def controlled(control: str) -> Any:
    """Execute commands from a file, one JSON list a line, as the test appends them."""
    path = Path(control)
    pause = threading.Event()
    executed = 0
    while not is_cancelled():
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines[executed:]:
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
