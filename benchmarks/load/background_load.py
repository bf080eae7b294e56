"""The CPU use of unrelated processes during a measurement, which makes its numbers doubtful."""

from __future__ import annotations

import os
import time

import psutil


class BackgroundLoad:
    """Subtracts the CPU time of the benchmark's own processes from that of the machine."""

    def __init__(self) -> None:
        self._own: dict[int, float] = {}
        self._own_before: dict[int, float] = {}
        self._machine_before = _machine_cpu_seconds()
        self._started = time.monotonic()
        self.sample()
        self._own_before = dict(self._own)

    def sample(self) -> None:
        """Record the CPU time of the benchmark's processes, before some of them exit."""
        server_marks = (os.environ["LOAD_NAME"], "mariadbd")
        children = {process.pid for process in psutil.Process().children(recursive=True)}
        for process in psutil.process_iter(["pid", "cmdline", "cpu_times"]):
            info = process.info
            command = " ".join(info["cmdline"] or ())
            is_server = any(mark in command for mark in server_marks)
            if info["cpu_times"] and (info["pid"] in children or is_server):
                self._own[info["pid"]] = info["cpu_times"].user + info["cpu_times"].system

    def cores(self) -> float:
        """Return the average number of cores that unrelated processes have used."""
        self.sample()
        own = sum(used - self._own_before.get(pid, 0.0) for pid, used in self._own.items())
        machine = _machine_cpu_seconds() - self._machine_before
        return max(0.0, (machine - own) / (time.monotonic() - self._started))


def _machine_cpu_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)
