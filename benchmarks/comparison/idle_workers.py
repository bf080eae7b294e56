"""Measurements with idle workers: the latency of single jobs, and the cost of waiting."""

from __future__ import annotations

import statistics
import threading

from comparison.contenders import WorkerConfig
from comparison.measurements import Measurements, quantile
from comparison.plan import Plan
from comparison.resource_usage import cpu_seconds_between
from comparison.sandbox import Sandbox

BIG_TEXT_CHARS = 1_000_000
SETTLE_SECONDS = 11
"""PostgreSQL's processes report their statistics up to 10 s later."""


def pickup(sandbox: Sandbox, config: WorkerConfig, plan: Plan, measurements: Measurements) -> None:
    """Measure the time from the enqueue call to the first line of the job."""
    with sandbox.running_workers(config) as (client, processes):
        client.request("trickle", count=plan.pickups, low=0.05, high=0.1)
        sandbox.wait_until(lambda: sandbox.starts.count() >= plan.pickups, processes)
    _add_latencies(sandbox, config, "pickup", sandbox.starts.delays(), measurements)


def result(sandbox: Sandbox, config: WorkerConfig, plan: Plan, measurements: Measurements) -> None:
    """Measure the time from the enqueue call until the client has the result."""
    with sandbox.running_workers(config) as (client, _):
        seconds = client.request("results", count=plan.results)
    _add_latencies(sandbox, config, "result", seconds, measurements)


def chord(sandbox: Sandbox, config: WorkerConfig, plan: Plan, measurements: Measurements) -> None:
    """Measure the time from the call of a chord until the client has the result of its body."""
    if not sandbox.contender.has_chords:
        return
    with sandbox.running_workers(config) as (client, _):
        seconds = [client.request("chord", size=plan.chord) for _ in range(plan.chords)]
    key = sandbox.contender.name, config.label
    measurements.add(*key, "chord", statistics.median(seconds) * 1e3)


def big(sandbox: Sandbox, config: WorkerConfig, plan: Plan, measurements: Measurements) -> None:
    """Measure a megabyte of arguments: the enqueue call, and the time until the job starts."""
    with sandbox.running_workers(config) as (client, _):
        seconds = client.request("big", count=plan.big, size=BIG_TEXT_CHARS)
    key = sandbox.contender.name, config.label
    measurements.add(*key, "big enqueue", statistics.median(seconds) * 1e3)
    measurements.add(*key, "big start", statistics.median(sandbox.starts.delays()) * 1e3)


def idle(sandbox: Sandbox, config: WorkerConfig, plan: Plan, measurements: Measurements) -> None:
    """Measure CPU, memory and requests to the store of workers without jobs."""
    store = sandbox.store
    with sandbox.running_workers(config) as (_, processes):
        threading.Event().wait(SETTLE_SECONDS)
        requests_before = store.requests()
        before = {**processes.worker_cpu(), **processes.executor_cpu()}
        threading.Event().wait(plan.idle_seconds)
        after = {**processes.worker_cpu(), **processes.executor_cpu()}
        key = sandbox.contender.name, config.label
        cpu_percent = cpu_seconds_between(before, after) / plan.idle_seconds * 100
        measurements.add(*key, "idle cpu", cpu_percent)
        measurements.add(*key, "idle memory", processes.memory())
        measurements.add(*key, "idle processes", processes.count())
        if requests_before is not None:
            requests = (store.requests() or 0) - requests_before
            measurements.add(*key, "idle requests", requests / plan.idle_seconds)


def _add_latencies(
    sandbox: Sandbox,
    config: WorkerConfig,
    name: str,
    seconds: list[float],
    measurements: Measurements,
) -> None:
    key = sandbox.contender.name, config.label
    for part, label in ((0.5, "p50"), (0.99, "p99")):
        value = quantile(seconds, part)
        milliseconds = None if value is None else value * 1e3
        measurements.add(*key, f"{name} {label}", milliseconds)
