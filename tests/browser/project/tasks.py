"""A task that does what the test says, while it says it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from offload import UserFacingError, is_cancelled, progress, task


@task(title="Monthly report", expose_result=True)
def obey(orders: str) -> Any:
    """Carry out the orders in a file, one JSON list a line, as they are appended."""
    path = Path(orders)
    pause = threading.Event()
    carried_out = 0
    while not is_cancelled():
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines[carried_out:]:
            carried_out += 1
            match json.loads(line):
                case ["progress", done, total, message]:
                    progress(done, total, message)
                case ["return", value]:
                    return value
                case ["fail", message]:
                    raise UserFacingError(message)
        pause.wait(0.02)
    return None
