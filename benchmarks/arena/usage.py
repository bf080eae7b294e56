"""What processes use: processor time and memory."""

from __future__ import annotations

from collections.abc import Iterable

import psutil

type Usage = dict[int, float]
"""Seconds of processor time by process."""


def processor_seconds(pids: Iterable[int]) -> Usage:
    """Return user and system time, with that of children that have ended."""
    found: Usage = {}
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        found[pid] = sum(times[:4])
    return found


def spent(before: Usage, after: Usage) -> float:
    """Return the seconds between two looks."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def proportional_memory(pids: Iterable[int]) -> float:
    """Return mebibytes, where a page that n processes share counts as 1/n of a page."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1024**2
