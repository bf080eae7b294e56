"""CPU time and memory of processes."""

from __future__ import annotations

from collections.abc import Iterable

import psutil

type CpuTimes = dict[int, float]
"""CPU seconds by process id."""


def cpu_times(pids: Iterable[int]) -> CpuTimes:
    """Return user and system time, including that of children that have exited."""
    times: CpuTimes = {}
    for pid in pids:
        try:
            process_times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        times[pid] = sum(process_times[:4])
    return times


def cpu_seconds_between(before: CpuTimes, after: CpuTimes) -> float:
    """Return the CPU seconds that were used between two measurements."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def proportional_memory(pids: Iterable[int]) -> float:
    """Return the PSS in MiB: a page that n processes share counts as 1/n of a page for each."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1024**2
