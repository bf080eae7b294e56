"""Measurements with a backlog: the rate at which it is drained, and the CPU time per job."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from comparison import noise
from comparison.client_process import ClientProcess
from comparison.contenders import WorkerConfig
from comparison.measurements import Measurements
from comparison.resource_usage import CpuTimes, cpu_seconds_between
from comparison.sandbox import Sandbox
from comparison.start_log import WARM_UP_SECONDS
from comparison.worker_processes import WorkerProcesses

CHUNK_SIZE = 1_000
DRAIN_TIMEOUT_SECONDS = 8.0
SAVE_TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.002
MIXED_KINDS = ["nap 1", "spin 1", "nap 20", "query"]
MIXED_AVERAGE_SECONDS = 0.006
MAX_MIXED_PER_SECOND = 1_500
MAX_ASYNC_MIXED_PER_SECOND = 4_000


def drain(
    sandbox: Sandbox, config: WorkerConfig, kind: str, count: int, measurements: Measurements
) -> None:
    """Measure the rate of no-ops and their CPU time."""
    _drain(sandbox, config, [kind], count, measurements, kind)


def drain_mixed(
    sandbox: Sandbox, config: WorkerConfig, name: str, seconds: float, measurements: Measurements
) -> None:
    """Measure the rate of jobs that wait, compute and query the database.

    Args:
        name: `mixed`, or `amixed` for jobs written with `async def`.
        seconds: for which the backlog should last.
    """
    if name == "amixed":
        kinds = [f"async {kind}" for kind in MIXED_KINDS]
        rate: float = MAX_ASYNC_MIXED_PER_SECOND
    else:
        kinds = MIXED_KINDS
        rate = min(config.parallel / MIXED_AVERAGE_SECONDS, MAX_MIXED_PER_SECOND)
    _drain(sandbox, config, kinds, int(rate * seconds), measurements, name)


@dataclass(frozen=True)
class Sample:
    """CPU times at one moment, and the number of jobs that had started."""

    jobs: int
    worker: CpuTimes
    executors: CpuTimes
    server: CpuTimes


def _drain(
    sandbox: Sandbox,
    config: WorkerConfig,
    kinds: list[str],
    count: int,
    measurements: Measurements,
    name: str,
) -> None:
    key = sandbox.contender.name, config.label
    with sandbox.new_client() as client:
        client.request("enqueue_many", kinds=kinds, count=count, chunk=CHUNK_SIZE)
        sandbox.store.run_maintenance()
        noise.measure(sandbox.folder, *key, measurements)
        with sandbox.start_workers(config) as processes:
            first, last = _sample_drain(sandbox, processes, count)
            is_complete = sandbox.starts.count() == count
            saved_after = _seconds_until_saved(client) if is_complete else None
    measurements.add(*key, name, sandbox.starts.rate())
    measurements.add(*key, f"{name} saved after", saved_after)
    is_unsaved = is_complete and saved_after is None
    measurements.add(*key, f"{name} unsaved", 1 if is_unsaved else 0)
    jobs = max(last.jobs - first.jobs, 1)
    total = 0.0
    for part in ("worker", "executors", "server"):
        seconds = cpu_seconds_between(getattr(first, part), getattr(last, part))
        total += seconds
        measurements.add(*key, f"{name} cpu {part}", seconds / jobs * 1_000)
    # Other work on the machine affects CPU time much less than it affects a rate.
    measurements.add(*key, f"{name} per cpu", jobs / total if total else None)


def _sample_drain(
    sandbox: Sandbox, processes: WorkerProcesses, count: int
) -> tuple[Sample, Sample]:
    """Return samples of the start and the end of a drain.

    The first sample is replaced after the warm-up if the drain lasts longer than that.
    """
    sandbox.wait_until(lambda: sandbox.starts.count() > 0, processes)
    first = _sample(sandbox, processes)
    started = time.monotonic()
    is_warm = False
    pause = threading.Event()
    while sandbox.starts.count() < count and time.monotonic() < started + DRAIN_TIMEOUT_SECONDS:
        pause.wait(POLL_SECONDS)
        has_warmed_up = time.monotonic() > started + WARM_UP_SECONDS
        if not is_warm and has_warmed_up and sandbox.starts.count() < count:
            is_warm = True
            first = _sample(sandbox, processes)
    return first, _sample(sandbox, processes)


def _sample(sandbox: Sandbox, processes: WorkerProcesses) -> Sample:
    return Sample(
        sandbox.starts.count(),
        processes.worker_cpu(),
        processes.executor_cpu(),
        sandbox.store.server_cpu(),
    )


def _seconds_until_saved(client: ClientProcess) -> float | None:
    """Return the time until no job is unfinished, or None after a timeout."""
    started = time.monotonic()
    pause = threading.Event()
    while time.monotonic() < started + SAVE_TIMEOUT_SECONDS:
        if client.request("unfinished") == 0:
            return time.monotonic() - started
        pause.wait(POLL_SECONDS)
    return None
