"""The work that all sites do, and what their pages have around it."""

from __future__ import annotations

import random
from collections.abc import Mapping

STARTED = (40, 0.05)
"""What a click starts: steps, and seconds before each."""
ROWS = range(500)
MESSAGE = "Reading rows"


def asked(query: Mapping[str, str]) -> list[tuple[int, float]]:
    """Return what each job does that the query of a page asks for: steps, and their seconds.

    With `spread` they end one after the other, about so many seconds apart.
    """
    jobs, steps = int(query.get("jobs", 0)), int(query.get("steps", 1))
    pause, spread = float(query.get("pause", 0)), float(query.get("spread", 0))
    return [(steps, pause + spread * (number + random.random())) for number in range(jobs)]
