"""Compare workflows, limits and schedules of django-offload with those of other task queues.

    .venv/bin/python benchmarks/coordination.py
    .venv/bin/python benchmarks/coordination.py offload-postgresql dbos-postgresql --stage fan_in

Prints a table for each stage; a complete run also writes them to
`benchmarks/results/coordination.md`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from comparison.contenders import Contender
from comparison.environments import version
from comparison.sandbox import Sandbox
from coordinated_jobs.contenders import CONTENDERS
from coordinated_jobs.run_log import count_runs, read_runs
from coordinated_jobs.stages import STAGES, Outcome, Stage
from load.report import write

POLL_SECONDS = 0.005
HEAD = "| queue | to enqueue, s | runs | runs/s | twice | too early | never | off by, ms |"


class Measured(NamedTuple):
    """A contender's seconds to enqueue, and what its runs showed."""

    contender: str
    enqueued_in: float
    outcome: Outcome


def main() -> None:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    stages = [stage for stage in STAGES if stage.name in (options.stage or [stage.name])]
    contenders = [pair for pair in CONTENDERS if pair[0].name in (options.names or [pair[0].name])]
    tables = []
    has_failed = False
    for stage in stages:
        sizes = stage.quick_sizes if options.quick else stage.sizes
        rows = []
        for contender, stage_names in contenders:
            if stage.name not in stage_names:
                continue
            try:
                rows.append(_measure(contender, stage, sizes))
            except Exception:  # noqa: BLE001  # the measurements of the others must survive
                traceback.print_exc()
                has_failed = True
        tables.append("\n".join(_table(stage, sizes, rows)))
    packages = sorted({contender.package for contender, _ in contenders})
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    is_complete = not (options.names or options.stage or options.quick or has_failed)
    title = "Workflows, limits and schedules, compared"
    write("coordination", title, f"{versions}.\n\n" + "\n\n".join(tables), keep=is_complete)
    sys.exit(1 if has_failed else 0)


def _parser() -> argparse.ArgumentParser:
    names = [contender.name for contender, _ in CONTENDERS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=names, metavar="NAME", help=", ".join(names))
    stages = [stage.name for stage in STAGES]
    parser.add_argument("--stage", nargs="+", choices=stages, help="measure only these stages")
    parser.add_argument("--quick", action="store_true", help="fewer jobs; only prints")
    return parser


def _measure(contender: Contender, stage: Stage, sizes: Mapping[str, int]) -> Measured:
    """Enqueue the jobs of a stage, then start workers and wait until all have run."""
    started = time.monotonic()
    settings = dict(contender.settings)
    if stage.name == "schedules":  # of queues whose schedules are read when a process starts
        settings |= {
            "BENCH_SCHEDULES": str(sizes["count"]),
            "BENCH_PERIOD": str(sizes["period"]),
        }
    sandbox = Sandbox(replace(contender, settings=settings))
    try:
        sandbox.prepare()
        with sandbox.new_client() as client:
            seconds = client.request("coordinate", stage=stage.name, sizes=dict(sizes))
            sandbox.store.run_maintenance()
            with sandbox.start_workers(contender.configs[0]) as processes:
                path = sandbox.starts.path
                sandbox.wait_until(lambda: count_runs(path) > 0, processes)
                _wait(sandbox, stage, sizes)
            return Measured(contender.name, seconds, stage.judge(read_runs(path), sizes))
    finally:
        sandbox.remove()
        took = time.monotonic() - started
        print(f"{stage.name}: {contender.name}: {took:.0f} s", file=sys.stderr, flush=True)


def _wait(sandbox: Sandbox, stage: Stage, sizes: Mapping[str, int]) -> None:
    """Wait until all jobs have run, or the stage is to be stopped."""
    count = stage.count(sizes)
    pause = threading.Event()
    end = time.monotonic() + stage.seconds
    while time.monotonic() < end:
        if count is not None and count_runs(sandbox.starts.path) >= count:
            pause.wait(1)  # for jobs that run twice
            return
        pause.wait(POLL_SECONDS)


def _table(stage: Stage, sizes: Mapping[str, int], rows: list[Measured]) -> Iterator[str]:
    numbers = ", ".join(f"{name.replace('_', ' ')} {size:,}" for name, size in sizes.items())
    yield f"## {stage.title}: {numbers}\n"
    yield HEAD
    yield "| --- |" + " ---: |" * (HEAD.count("|") - 2)
    for name, seconds, outcome in rows:
        never = "stopped" if outcome.never is None else str(outcome.never)
        deviation = "-"
        if outcome.deviation is not None:
            deviation = " and ".join(f"{part * 1_000:.0f}" for part in outcome.deviation)
        yield (
            f"| {name} | {seconds:.2f} | {outcome.runs:,} | {outcome.rate:,.0f} "
            f"| {outcome.twice} | {outcome.early} | {never} | {deviation} |"
        )
    if stage.name != "schedules":
        yield from _ratios(rows)


def _ratios(rows: list[Measured]) -> Iterator[str]:
    """Compare ours on PostgreSQL with the best of the others."""
    ours = [row.outcome.rate for row in rows if row.contender == "offload-postgresql"]
    theirs = [row for row in rows if not row.contender.startswith("offload-")]
    if ours and theirs:
        best = max(theirs, key=lambda row: row.outcome.rate)
        ratio = ours[0] / best.outcome.rate if best.outcome.rate else float("inf")
        yield f"\noffload-postgresql runs {ratio:.1f} times as many as {best.contender}."


if __name__ == "__main__":
    main()
