"""Measure the memory of a worker and its executors, idle and while they drain a long queue.

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

from load import job_rows
from load.database import delete_jobs, new_database, run_maintenance, version
from load.memory_usage import MemoryUsage, measure_memory
from load.report import write
from load.worker import PAUSE, Worker, running_worker

HEAD = """\
| database | when | jobs claimed | worker | executors |
| --- | --- | ---: | ---: | ---: |"""
IDLE_SECONDS = 5.0
"""Seconds after which an idle worker is measured."""
SAMPLE_INTERVAL_SECONDS = 0.5
SHOWN_SAMPLES = 8
"""Approximate number of rows for one drain."""
WARM_SHARE = 0.2
"""The share of a drain after which memory must not grow."""


def main() -> None:
    options = _parser().parse_args()
    is_complete = not (options.quick or options.jobs)
    jobs = options.jobs or (300_000 if options.quick else 1_000_000)
    if options.here:
        with new_database(options.here, f"offload_scale_memory_{os.getpid()}"):
            print(version() + ".", flush=True)
            run(options.here, jobs)
        return
    rows, notes = [HEAD], ["PSS: memory that processes share counts proportionally for each."]
    for kind in options.databases:
        command = [sys.executable, __file__, "--here", kind, "--jobs", str(jobs)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        rows += [line for line in output.splitlines() if line.startswith("|")]
        notes += [line for line in output.splitlines() if line and not line.startswith("|")]
    text = "\n".join([*rows, "", *(f"- {note}" for note in notes)])
    write("memory", "Memory", text, keep=is_complete)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("databases", nargs="*", default=["postgresql", "sqlite"])
    parser.add_argument("--quick", action="store_true", help="300,000 jobs; only prints")
    parser.add_argument("--jobs", type=int, help="number of jobs; only prints")
    parser.add_argument("--here", metavar="DATABASE", help="measure in this process")
    return parser


def run(kind: str, jobs: int) -> None:
    """Measure on one database, in this process; print rows of the table, and a note."""
    print(row(kind, "idle, empty table", measure_idle()), flush=True)
    job_rows.insert_ready(jobs, queue="bulk")
    run_maintenance()
    print(row(kind, f"idle, {jobs:,} wait in another queue", measure_idle()), flush=True)
    delete_jobs()
    job_rows.insert_ready(jobs)
    run_maintenance()
    samples = list(sample_drain(jobs))
    for usage in samples[:: max(1, len(samples) // SHOWN_SAMPLES)]:
        print(row(kind, "draining", usage))
    warm = [usage for usage in samples if usage.jobs >= WARM_SHARE * jobs] or samples
    first, last = warm[0], warm[-1]
    factor = 100_000 / max(1, last.jobs - first.jobs)
    worker_growth = factor * (last.worker - first.worker)
    executor_growth = factor * (last.largest_executor - first.largest_executor)
    print(
        f"{kind}: from {first.jobs:,} to {last.jobs:,} jobs the worker grew by "
        f"{worker_growth:+.2f} MiB per 100,000 jobs, the largest executor by "
        f"{executor_growth:+.2f}."
    )


def measure_idle() -> MemoryUsage:
    """Return the memory of a worker without jobs."""
    with running_worker("--queues=default") as worker:
        PAUSE.wait(IDLE_SECONDS)
        return measure_memory(worker.process.pid) or MemoryUsage(0, 0.0, ())


def sample_drain(jobs: int) -> Iterator[MemoryUsage]:
    """Measure periodically until the queue is empty."""
    progress = job_rows.ClaimProgress(jobs)
    worker = Worker("--drain")
    try:
        while worker.process.poll() is None:
            PAUSE.wait(SAMPLE_INTERVAL_SECONDS)
            usage = measure_memory(worker.process.pid, progress.claimed())
            if usage is not None and len(usage.executors) > 1:
                yield usage
        worker.join()
    finally:
        worker.kill()


def row(kind: str, when: str, usage: MemoryUsage) -> str:
    executors = ", ".join(f"{size:.1f}" for size in sorted(usage.executors))
    return f"| {kind} | {when} | {usage.jobs:,} | {usage.worker:.1f} MiB | {executors} MiB |"


if __name__ == "__main__":
    main()
