"""Measure what a call of progress() costs a running task, and how often a million are written.

    .venv/bin/python benchmarks/progress.py             --quick: once each, only prints

Each job runs alone in a thread of an engine in this process, on SQLite: so its calls share the
interpreter with whoever passes on what they say.
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

from benchmarks.statements import start  # noqa: E402  # it needs the app registry
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


WAYS: dict[str, Callable[[], None]] = {
    "an empty loop": loop,
    "`progress(done, total, message)`": call,
    "the same with `step`": call_with_step,
    "`track(rows, message)`": iterate,
}


@task
def measure(way: str) -> float:
    """Return the nanoseconds of this thread's processor that one call took."""
    begun = time.thread_time()
    WAYS[way]()
    return (time.thread_time() - begun) / CALLS * 1e9


def rows(rounds: int) -> list[str]:
    lines = []
    for way in WAYS:
        runs = sorted(run_alone(way) for _ in range(rounds))
        cost, _ = runs[rounds // 2]
        writes = max(count for _, count in runs)
        lines.append(f"| {way} | {cost:,.0f} | {writes} |")
    return lines


def run_alone(way: str) -> tuple[float, int]:
    """Return the nanoseconds of one call, and how often the job's progress was written."""
    result = measure.enqueue(way)
    start(drain=True)[1].join()
    result.refresh()
    # Claim and outcome made a version each.
    return result.return_value, Job.objects.get(pk=result.id).version - 2


def run() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one job of each way; only prints")
    is_quick = parser.parse_args().quick
    rounds = 1 if is_quick else ROUNDS
    old = setup_databases(verbosity=0, interactive=False)
    try:
        table = "\n".join(rows(rounds))
    finally:
        connections.close_all()
        teardown_databases(old, verbosity=0)
    text = (
        f"# What progress costs\n\n{machine()}\n"
        f"Median of {rounds} jobs of {CALLS:,} calls each, in time of the processor.\n\n"
        "| what | ns a call, the loop included | writes of a job, at most |\n"
        f"| --- | ---: | ---: |\n{table}\n"
    )
    print(text)
    if not is_quick:
        (RESULTS / "progress.md").write_text(text)


if __name__ == "__main__":
    # Under the name by which an engine finds the task.
    from benchmarks.progress import run as main

    main()
