"""What a job does."""

from __future__ import annotations

import time

from kill_runs.ledger import note


def work(number: int) -> None:
    """Note the start, work for 0.1 to 0.3 s, and note the end."""
    note("start", number)
    time.sleep(0.1 * (1 + number % 3))  # noqa: TID251
    note("end", number)
