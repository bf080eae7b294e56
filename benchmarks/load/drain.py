"""How fast engines drain a queue, by the times that the jobs' rows carry."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from load import rows
from load.bystanders import Bystanders
from load.database import ask, empty, settle
from load.engine import LONGEST, PAUSE, Engine
from load.sizes import Sizes
from offload.lifecycle import JobState

FINISHED = f"SELECT {{}} FROM offload_job WHERE state = {int(JobState.SUCCESSFUL)} "
FINISHED += "AND finished_at > {} ORDER BY finished_at"


@dataclass(frozen=True)
class Drained:
    """Jobs per second: of all jobs, of the first tenth, of the last, and of the slowest.

    Others had so many processors meanwhile.
    """

    jobs: int
    rate: float
    first: float
    last: float
    slowest: float
    others: float = 0.0


def drain(
    *,
    engines: int = 1,
    processes: int = 2,
    meanwhile: Callable[[], None] | None = None,
    **variables: str,
) -> Drained:
    """Start engines, wait until they have drained the queue, and return how fast they were.

    Args:
        engines: how many.
        processes: executors of each.
        meanwhile: called every half second.
        variables: of the engines' environment.
    """
    begun = time.time_ns() // 1000
    started = [Engine("--drain", processes=processes, variables=variables) for _ in range(engines)]
    until = time.monotonic() + LONGEST
    bystanders = Bystanders()
    try:
        while any(engine.process.poll() is None for engine in started):
            PAUSE.wait(0.5)
            bystanders.look()
            if meanwhile is not None:
                meanwhile()
            if time.monotonic() > until:
                raise TimeoutError(f"The queue was not drained after {LONGEST:.0f} s.")
        for engine in started:
            engine.join()
        others = bystanders.cores()
    finally:
        for engine in started:
            engine.kill()
    return replace(rates(begun), others=others)


def best_drain(sizes: Sizes, *, fresh: bool = False) -> Drained:
    """Drain the same number of jobs some times.

    Args:
        sizes: how many jobs, and how often.
        fresh: empty the table before each time.
    """
    found = []
    for _ in range(sizes.repeat):
        if fresh:
            empty()
        rows.queued(sizes.jobs)
        settle()
        found.append(drain())
    return max(found, key=lambda drained: drained.rate)


def rates(begun: int) -> Drained:
    """Return how fast the jobs were that were finished since then."""
    ends = [end for (end,) in ask(FINISHED.format("finished_at", begun))]
    if not ends:
        raise RuntimeError("No job was successful.")
    (first_claim,) = ask(
        f"SELECT MIN(last_attempted_at) FROM ({FINISHED.format('last_attempted_at', begun)} "
        "LIMIT 1000) AS earliest"
    )[0]
    tenth = max(1, len(ends) // 10)
    marks = [first_claim, *ends[tenth - 1 :: tenth][:10]]
    tenths = [tenth * 1e6 / max(1, b - a) for a, b in pairwise(marks)]
    total = len(ends) * 1e6 / max(1, ends[-1] - first_claim)
    return Drained(len(ends), total, tenths[0], tenths[-1], min(tenths))
