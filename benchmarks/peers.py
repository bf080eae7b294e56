"""Compare django-offload with other task queues, each in its best configurations.

    .venv/bin/python benchmarks/peers.py
    .venv/bin/python benchmarks/peers.py offload-sqlite offload-postgresql --stage drain

Prints tables; a complete run also writes them to `benchmarks/results/peers.md`, or with
`--celery` to `celery.md`.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import time
import traceback
from typing import TYPE_CHECKING

from comparison import baseline, draining, enqueueing, idle_workers, noise
from comparison.contenders import ALL_CONTENDERS, CELERY_CONTENDERS, CONTENDERS
from comparison.environments import version
from comparison.measurements import ANY_CONFIG, Measurements
from comparison.plan import STAGES, Plan, make_plan
from comparison.report import report
from comparison.sandbox import Sandbox
from comparison.stores.postgresql import PostgreSQL
from comparison.stores.sqlite import SQLite
from load.report import RESULTS, machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comparison.contenders import Contender

ENQUEUE_STAGES = {"enqueue": enqueueing.enqueue, "bulk": enqueueing.enqueue_many}
IDLE_WORKER_STAGES = {
    "pickup": idle_workers.pickup,
    "result": idle_workers.result,
    "chord": idle_workers.chord,
    "big": idle_workers.big,
    "idle": idle_workers.idle,
}


def main() -> None:
    options = _parser().parse_args()
    # Workers have process groups of their own: SystemExit stops them, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = make_plan(
        options.stage,
        runs=options.runs,
        is_quick=options.quick,
        first_config=options.first_config,
    )
    named = [c for c in ALL_CONTENDERS if c.name in options.names]
    usual = CELERY_CONTENDERS if options.celery else CONTENDERS
    contenders = named or [c for c in usual if c.quick or options.celery or not options.quick]
    measurements = Measurements()
    failed: set[str] = set()
    # One after the other in each round, so that a busy minute does not affect one contender only.
    for number in range(plan.runs):
        for contender in contenders:
            if not _measure(contender, plan, measurements, is_first=number == 0):
                failed.add(contender.name)
    text = f"{machine()}\n{_conditions(measurements, contenders)}\nRounds: {plan.runs}.\n"
    if failed:
        text += f"Failed, and therefore incomplete: {', '.join(sorted(failed))}.\n"
    text += f"\n{report(measurements, contenders)}\n"
    print(text)
    if not (named or options.stage or options.quick or options.first_config):
        name, title = ("celery", "Celery") if options.celery else ("peers", "other task queues")
        (RESULTS / f"{name}.md").write_text(f"# Compared with {title}\n\n{text}")
    sys.exit(1 if failed else 0)


def _parser() -> argparse.ArgumentParser:
    names = [contender.name for contender in ALL_CONTENDERS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--stage", nargs="+", choices=STAGES, help="measure only these stages")
    parser.add_argument("--runs", type=int, help="rounds of draining and enqueueing")
    parser.add_argument(
        "--first-config", action="store_true", help="only the first configuration of each"
    )
    parser.add_argument(
        "--celery",
        action="store_true",
        help="only Celery in a Django project, and what replaces or uses it",
    )
    parser.add_argument("--quick", action="store_true", help="fewer peers, shorter stages")
    return parser


def _measure(
    contender: Contender, plan: Plan, measurements: Measurements, *, is_first: bool
) -> bool:
    """Run one round, and in the first also the stages with idle workers.

    Returns:
        Whether it succeeded.
    """
    started = time.monotonic()
    sandbox = None
    try:
        sandbox = Sandbox(contender)
        noise.measure(sandbox.folder, contender.name, ANY_CONFIG, measurements)
        sandbox.prepare()
        _measure_draining(sandbox, plan, measurements)
        _measure_enqueueing(sandbox, plan, measurements)
        if is_first:
            _measure_idle_workers(sandbox, plan, measurements)
            if contender.is_ours and isinstance(sandbox.store, SQLite | PostgreSQL):
                baseline.measure(sandbox.store, contender.name, plan, measurements)
    except Exception:  # noqa: BLE001  # the measurements of the other contenders must survive
        traceback.print_exc()
        return False
    finally:
        if sandbox is not None:
            sandbox.remove()
        seconds = time.monotonic() - started
        print(f"{contender.name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return True


def _measure_draining(sandbox: Sandbox, plan: Plan, measurements: Measurements) -> None:
    configs = sandbox.contender.configs
    if not plan.all_configs:
        configs = configs[:1]
    for config in configs:
        count = int(config.backlog * plan.backlog_share)
        for kind in _kinds(sandbox.contender, plan.stages):
            draining.drain(sandbox, config, kind, count, measurements)
        for name in sandbox.contender.mixes:
            if name in plan.stages:
                draining.drain_mixed(sandbox, config, name, plan.mixed_seconds, measurements)


def _measure_enqueueing(sandbox: Sandbox, plan: Plan, measurements: Measurements) -> None:
    for name, measure in ENQUEUE_STAGES.items():
        if name in plan.stages:
            measure(sandbox, plan, measurements)


def _measure_idle_workers(sandbox: Sandbox, plan: Plan, measurements: Measurements) -> None:
    config = sandbox.contender.configs[0]
    for name, measure in IDLE_WORKER_STAGES.items():
        if name in plan.stages:
            measure(sandbox, config, plan, measurements)


def _kinds(contender: Contender, stages: tuple[str, ...]) -> tuple[str, ...]:
    """Return the no-ops to drain; a queue with async tasks only drains those instead."""
    kinds_by_stage = (("drain", "noop"), ("async", "anoop"))
    kinds = tuple(k for stage, k in kinds_by_stage if stage in stages and k in contender.kinds)
    return kinds or (contender.kinds if "drain" in stages else ())


def _conditions(measurements: Measurements, contenders: Sequence[Contender]) -> str:
    """Return the versions of the contenders, and how quiet the machine was."""
    packages = sorted({contender.package for contender in contenders})
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    syncs, loops = measurements.all("fdatasync"), measurements.all("loop")
    return (
        f"{versions}.\n"
        f"Noise: fdatasync of 8 kB {statistics.median(syncs):.0f} us "
        f"({min(syncs):.0f} to {max(syncs):.0f}), a fixed loop {statistics.median(loops):.0f} ms "
        f"({min(loops):.0f} to {max(loops):.0f})."
    )


if __name__ == "__main__":
    main()
