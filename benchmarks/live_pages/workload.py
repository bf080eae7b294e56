"""The jobs of all sites, and the content of their pages."""

from __future__ import annotations

import random
from collections.abc import Mapping

CLICK_ARGUMENTS = (40, 0.05)
"""The job that a click starts: steps, and seconds before each."""
ROWS = range(500)
MESSAGE = "Reading rows"


def requested_jobs(query: Mapping[str, str]) -> list[tuple[int, float]]:
    """Return the arguments of the jobs in a page's query: steps, and seconds before each.

    With `spread` the jobs finish one after the other, about `spread` seconds apart.
    """
    jobs, steps = int(query.get("jobs", 0)), int(query.get("steps", 1))
    pause, spread = float(query.get("pause", 0)), float(query.get("spread", 0))
    return [(steps, pause + spread * (number + random.random())) for number in range(jobs)]
