"""Memory of an engine and its executors while they drain a long queue, and beside one.

    .venv/bin/python benchmarks/memory.py                 a million jobs
    .venv/bin/python benchmarks/memory.py --quick sqlite  300,000

Writes `benchmarks/results/memory.md`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator

from load import rows
from load.database import empty, new_database, settle, version
from load.engine import PAUSE, Engine, running
from load.footprint import Footprint, footprint
from load.report import write

HEAD = """\
| database | when | jobs claimed | engine | executors |
| --- | --- | ---: | ---: | ---: |"""
SETTLED = 5.0
"""Seconds after which an idle engine is measured."""
INTERVAL = 0.5
SHOWN = 8
"""Lines of one drain."""
WARM = 0.2
"""The share of a drain after which memory must not grow any more."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("databases", nargs="*", default=["postgresql", "sqlite"])
    parser.add_argument("--quick", action="store_true", help="300,000 jobs")
    parser.add_argument("--jobs", type=int, help="how many")
    parser.add_argument("--here", metavar="DATABASE", help="measure in this process")
    choices = parser.parse_args()
    is_whole = not (choices.quick or choices.jobs)
    jobs = choices.jobs or (300_000 if choices.quick else 1_000_000)
    if choices.here:
        with new_database(choices.here, f"offload_scale_memory_{os.getpid()}"):
            print(version() + ".", flush=True)
            run(choices.here, jobs)
        return
    lines, notes = [HEAD], ["PSS: memory that processes share counts for each by its share."]
    for kind in choices.databases:
        command = [sys.executable, __file__, "--here", kind, "--jobs", str(jobs)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        lines += [line for line in output.splitlines() if line.startswith("|")]
        notes += [line for line in output.splitlines() if line and not line.startswith("|")]
    write(
        "memory", "Memory", "\n".join([*lines, "", *(f"- {note}" for note in notes)]), keep=is_whole
    )


def run(kind: str, jobs: int) -> None:
    """Measure on one database, in this process; print rows of the table, and notes."""
    print(line(kind, "idle, nothing waits", idle()), flush=True)
    rows.queued(jobs, queue="bulk")
    settle()
    print(line(kind, f"idle, {jobs:,} wait in another queue", idle()), flush=True)
    empty()
    rows.queued(jobs)
    settle()
    seen = list(drained(jobs))
    for taken in seen[:: max(1, len(seen) // SHOWN)]:
        print(line(kind, "draining", taken))
    warm = [taken for taken in seen if taken.jobs >= WARM * jobs] or seen
    per = 100_000 / max(1, warm[-1].jobs - warm[0].jobs)
    engine, executor = warm[-1].engine - warm[0].engine, warm[-1].largest - warm[0].largest
    print(
        f"{kind}: from {warm[0].jobs:,} to {warm[-1].jobs:,} jobs the engine grew by "
        f"{engine * per:+.2f} MiB per 100,000 jobs, the largest executor by {executor * per:+.2f}."
    )


def idle() -> Footprint:
    """Return the memory of an engine that has nothing to do."""
    with running("--queues=default") as engine:
        PAUSE.wait(SETTLED)
        return footprint(engine.process.pid) or Footprint(0, 0.0, ())


def drained(jobs: int) -> Iterator[Footprint]:
    """Measure again and again until the queue is empty."""
    progress = rows.Progress(jobs)
    engine = Engine("--drain")
    try:
        while engine.process.poll() is None:
            PAUSE.wait(INTERVAL)
            taken = footprint(engine.process.pid, progress.claimed())
            if taken is not None and len(taken.executors) > 1:
                yield taken
        engine.join()
    finally:
        engine.kill()


def line(kind: str, when: str, taken: Footprint) -> str:
    executors = ", ".join(f"{size:.1f}" for size in sorted(taken.executors))
    return f"| {kind} | {when} | {taken.jobs:,} | {taken.engine:.1f} MiB | {executors} MiB |"


if __name__ == "__main__":
    main()
