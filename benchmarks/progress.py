"""Measure the cost of a call of progress(), and how many of a million calls are stored.

    .venv/bin/python benchmarks/progress.py             --quick: once each, only prints

Each job runs alone, in a thread of a worker in this process, on SQLite. So its calls share the
interpreter with the threads that store the progress.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import django
from django.db import connections
from django.test.utils import setup_databases, teardown_databases

from load.report import RESULTS, machine

sys.path.append(str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
os.environ.setdefault("OFFLOAD_TEST_RUN", "progress-bench")
django.setup()

from benchmarks.statements import drain  # noqa: E402  # needs the app registry
from offload import progress, task, track  # noqa: E402
from offload.models import Job  # noqa: E402

CALLS = 1_000_000
ROUNDS = 5
STEP = (2, 3, "Import")


def loop() -> None:
    for _ in range(CALLS):
        pass


def call() -> None:
    for number in range(CALLS):
        progress(number, CALLS, "Reading rows")


def call_with_step() -> None:
    for number in range(CALLS):
        progress(number, CALLS, "Reading rows", step=STEP)


def iterate() -> None:
    for _ in track(range(CALLS), "Reading rows"):
        pass


LOOPS: dict[str, Callable[[], None]] = {
    "an empty loop": loop,
    "`progress(done, total, message)`": call,
    "the same with `step`": call_with_step,
    "`track(rows, message)`": iterate,
}


@task
def measure(name: str) -> float:
    """Return the CPU time of one call, in nanoseconds of this thread."""
    started = time.thread_time()
    LOOPS[name]()
    return (time.thread_time() - started) / CALLS * 1e9


def rows(rounds: int) -> list[str]:
    lines = []
    for name in LOOPS:
        runs = sorted(run_alone(name) for _ in range(rounds))
        nanoseconds, _ = runs[rounds // 2]
        writes = max(count for _, count in runs)
        lines.append(f"| {name} | {nanoseconds:,.0f} | {writes} |")
    return lines


def run_alone(name: str) -> tuple[float, int]:
    """Return the nanoseconds of one call, and how often the job's progress was stored."""
    result = measure.enqueue(name)
    drain()
    result.refresh()
    # The claim and the outcome have each made a version.
    return result.return_value, Job.objects.get(pk=result.id).version - 2


def run() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one job of each kind; only prints")
    is_quick = parser.parse_args().quick
    rounds = 1 if is_quick else ROUNDS
    old = setup_databases(verbosity=0, interactive=False)
    try:
        table = "\n".join(rows(rounds))
    finally:
        connections.close_all()
        teardown_databases(old, verbosity=0)
    text = (
        f"# The cost of progress\n\n{machine()}\n"
        f"Median of {rounds} jobs of {CALLS:,} calls each, in CPU time.\n\n"
        "| loop | ns per call, including the loop | writes per job, at most |\n"
        f"| --- | ---: | ---: |\n{table}\n"
    )
    print(text)
    if not is_quick:
        (RESULTS / "progress.md").write_text(text)


if __name__ == "__main__":
    # Import by the name from which the worker imports the task.
    from benchmarks.progress import run as main

    main()
