"""Measure django-offload beside other task queues, each at its best, on this machine.

    .venv/bin/python benchmarks/peers.py
    .venv/bin/python benchmarks/peers.py offload-sqlite offload-postgresql --stage drain

It prints tables; a whole run also writes them to `benchmarks/results/peers.md`.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import time
import traceback
from typing import TYPE_CHECKING

from arena import calls, drains, ground, noise, waits
from arena.environments import version
from arena.figures import ANY, Figures
from arena.lineup import LINEUP
from arena.plan import STAGES, Plan, make_plan
from arena.report import report
from arena.stand import Stand
from arena.stores.postgresql import PostgreSQL
from arena.stores.sqlite import SQLite
from load.report import RESULTS, machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arena.lineup import Contender


def main() -> None:
    choices = _parser().parse_args()
    # Workers have process groups of their own: end them too when this is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = make_plan(choices.stage, runs=choices.runs, is_quick=choices.quick)
    named = [c for c in LINEUP if c.name in choices.names]
    contenders = named or [c for c in LINEUP if c.quick or not choices.quick]
    figures = Figures()
    failed: set[str] = set()
    # In turns, so that a busy minute of the machine does not fall on one contender alone.
    for number in range(plan.runs):
        for contender in contenders:
            if not _measure(contender, plan, figures, is_first=number == 0):
                failed.add(contender.name)
    text = f"{machine()}\n{_circumstances(figures, contenders)}\nRounds: {plan.runs}.\n"
    if failed:
        text += f"Not measured whole, because it failed: {', '.join(sorted(failed))}.\n"
    text += f"\n{report(figures, contenders)}\n"
    print(text)
    if not (named or choices.stage or choices.quick):
        (RESULTS / "peers.md").write_text(f"# Beside other task queues\n\n{text}")
    sys.exit(1 if failed else 0)


def _parser() -> argparse.ArgumentParser:
    names = [contender.name for contender in LINEUP]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--stage", nargs="+", choices=STAGES)
    parser.add_argument("--runs", type=int, help="repetitions of each drain")
    parser.add_argument("--quick", action="store_true", help="fewer peers, shorter stages")
    return parser


def _measure(contender: Contender, plan: Plan, figures: Figures, *, is_first: bool) -> bool:
    """Drain and enqueue once, the first time wait too; return whether it worked."""
    begun = time.monotonic()
    stand = None
    try:
        stand = Stand(contender)
        noise.measure(stand.folder, contender.name, ANY, figures)
        stand.prepare()
        _measure_drains(stand, plan, figures)
        _measure_calls(stand, plan, figures)
        if is_first:
            _measure_waits(stand, plan, figures)
            if contender.is_ours and isinstance(stand.store, SQLite | PostgreSQL):
                ground.measure(stand.store, contender.name, plan, figures)
    except Exception:  # noqa: BLE001  # one that fails must not cost the figures of the others
        traceback.print_exc()
        return False
    finally:
        if stand is not None:
            stand.remove()
        took = time.monotonic() - begun
        print(f"{contender.name}: {took:.0f} s", file=sys.stderr, flush=True)
    return True


def _measure_calls(stand: Stand, plan: Plan, figures: Figures) -> None:
    for name in ("enqueue", "bulk"):
        if name in plan.stages:
            getattr(calls, name)(stand, plan, figures)


def _measure_drains(stand: Stand, plan: Plan, figures: Figures) -> None:
    every = stand.contender.workers
    for workers in every if plan.all_workers else every[:1]:
        count = int(workers.backlog * plan.share)
        for kind in _kinds(stand.contender, plan.stages):
            drains.drain(stand, workers, kind, count, figures)
        if "mixed" in plan.stages:
            for name in stand.contender.mixes:
                drains.drain_mixed(stand, workers, name, plan.mixed_seconds, figures)


def _kinds(contender: Contender, stages: tuple[str, ...]) -> tuple[str, ...]:
    """Return the no-ops to drain; whoever runs only async functions drains those."""
    wanted = (("drain", "noop"), ("async", "anoop"))
    kinds = tuple(k for stage, k in wanted if stage in stages and k in contender.kinds)
    return kinds or (contender.kinds if "drain" in stages else ())


def _measure_waits(stand: Stand, plan: Plan, figures: Figures) -> None:
    workers = stand.contender.workers[0]
    for name in ("pickup", "result", "big", "idle"):
        if name in plan.stages:
            getattr(waits, name)(stand, workers, plan, figures)


def _circumstances(figures: Figures, contenders: Sequence[Contender]) -> str:
    """Say what was measured and how quiet the machine was."""
    packages = sorted({contender.package for contender in contenders})
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    sync, spin = figures.all("fdatasync"), figures.all("loop")
    return (
        f"{versions}.\n"
        f"Noise: fdatasync of 8 kB {statistics.median(sync):.0f} us "
        f"({min(sync):.0f} to {max(sync):.0f}), a fixed loop {statistics.median(spin):.0f} ms "
        f"({min(spin):.0f} to {max(spin):.0f})."
    )


if __name__ == "__main__":
    main()
