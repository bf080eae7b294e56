"""Measurements of the enqueue call, without a worker."""

from __future__ import annotations

from comparison.measurements import ANY_CONFIG, Measurements, quantile
from comparison.plan import Plan
from comparison.sandbox import Sandbox

CHUNK_SIZE = 1_000


def enqueue(sandbox: Sandbox, plan: Plan, measurements: Measurements) -> None:
    """Measure single calls, alone and inside one transaction."""
    for name, transaction in (("enqueue", False), ("enqueue in transaction", True)):
        with sandbox.new_client() as client:
            seconds = client.request("enqueue", count=plan.enqueues, transaction=transaction) or []
        for part, label in ((0.5, "p50"), (0.99, "p99")):
            value = quantile(seconds, part)
            microseconds = None if value is None else value * 1e6
            measurements.add(sandbox.contender.name, ANY_CONFIG, f"{name} {label}", microseconds)


def enqueue_many(sandbox: Sandbox, plan: Plan, measurements: Measurements) -> None:
    """Measure the fastest way to enqueue many jobs."""
    with sandbox.new_client() as client:
        kind = sandbox.contender.kinds[0]
        seconds = client.request("enqueue_many", kinds=[kind], count=plan.bulk, chunk=CHUNK_SIZE)
    measurements.add(sandbox.contender.name, ANY_CONFIG, "bulk", plan.bulk / seconds)
