"""Measurements with a backlog: how quickly it is worked off, and at what cost."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from arena import noise
from arena.crew import Crew
from arena.enqueuer import Enqueuer
from arena.figures import Figures
from arena.lineup import Workers
from arena.marks import WARM_UP
from arena.stand import Stand
from arena.usage import Usage, spent

CHUNK = 1_000
LIMIT_SECONDS = 8.0
SAVED_SECONDS = 10.0
STEP = 0.002
MIXED = ["nap 1", "spin 1", "nap 20", "query"]
MIXED_AVERAGE = 0.006
MOST_MIXED = 1_500


def drain(stand: Stand, workers: Workers, kind: str, count: int, figures: Figures) -> None:
    """Measure the rate of no-ops and their processor time."""
    _drain(stand, workers, [kind], count, figures, kind)


def drain_mixed(
    stand: Stand, workers: Workers, name: str, seconds: float, figures: Figures
) -> None:
    """Measure the rate of jobs that wait, compute and ask the database.

    Args:
        name: `mixed`, or `amixed` for those written with `async def`.
    """
    is_async = name == "amixed"
    jobs = MOST_MIXED if is_async else min(workers.parallel / MIXED_AVERAGE, MOST_MIXED)
    kinds = [f"async {kind}" for kind in MIXED] if is_async else MIXED
    _drain(stand, workers, kinds, int(jobs * seconds), figures, name)


@dataclass(frozen=True)
class Look:
    """What was used up to a moment, and how many jobs had begun."""

    jobs: int
    engines: Usage
    executors: Usage
    server: Usage


def _drain(  # the measurement, and where it goes
    stand: Stand, workers: Workers, kinds: list[str], count: int, figures: Figures, name: str
) -> None:
    place = stand.contender.name, workers.label
    with stand.fresh() as client:
        client.ask("enqueue_many", kinds=kinds, count=count, chunk=CHUNK)
        stand.store.settle()
        noise.measure(stand.folder, *place, figures)
        with stand.crew(workers) as crew:
            first, last = _watch(stand, crew, count)
            is_whole = stand.marks.count() == count
            late = _seconds_until_saved(client) if is_whole else None
    figures.add(*place, name, stand.marks.rate())
    figures.add(*place, f"{name} saved after", late)
    figures.add(*place, f"{name} unsaved", 1 if is_whole and late is None else 0)
    jobs = max(last.jobs - first.jobs, 1)
    total = 0.0
    for part in ("engines", "executors", "server"):
        seconds = spent(getattr(first, part), getattr(last, part))
        total += seconds
        figures.add(*place, f"{name} cpu {part}", seconds / jobs * 1_000)
    # Other work on the machine changes this much less than it changes a rate.
    figures.add(*place, f"{name} per cpu", jobs / total if total else None)


def _watch(stand: Stand, crew: Crew, count: int) -> tuple[Look, Look]:
    """Look at the start, again a second later if that is not the end, and at the end."""
    stand.wait_until(lambda: stand.marks.count() > 0, crew)
    first = _look(stand, crew)
    start = time.monotonic()
    is_warm = False
    pause = threading.Event()
    while stand.marks.count() < count and time.monotonic() < start + LIMIT_SECONDS:
        pause.wait(STEP)
        if not is_warm and time.monotonic() > start + WARM_UP and count > stand.marks.count():
            is_warm = True
            first = _look(stand, crew)
    return first, _look(stand, crew)


def _look(stand: Stand, crew: Crew) -> Look:
    return Look(stand.marks.count(), crew.engines(), crew.executors(), stand.store.usage())


def _seconds_until_saved(client: Enqueuer) -> float | None:
    """Return how long after the last start all jobs were finished, if ever."""
    start = time.monotonic()
    pause = threading.Event()
    while time.monotonic() < start + SAVED_SECONDS:
        if client.ask("unfinished") == 0:
            return time.monotonic() - start
        pause.wait(STEP)
    return None
