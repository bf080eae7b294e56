"""The limits of a queue in the words of settings and verbs."""

from __future__ import annotations

from offload.limits.numbers import rate_text
from offload.policies.queue_limits import QueueLimits


def describe(limits: QueueLimits) -> dict[str, int | str]:
    """Return the limits that a queue has, by the names of settings and verbs."""
    words: dict[str, int | str] = {}
    if limits.max_running is not None:
        words["concurrency"] = limits.max_running
    if limits.interval:
        words["rate"] = rate_text(limits.interval)
        words["burst"] = limits.burst
    if limits.max_queued is not None:
        words["max_queued"] = limits.max_queued
    return words
