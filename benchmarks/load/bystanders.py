"""How much of the machine others use while something is measured: a figure to distrust by."""

from __future__ import annotations

import os
import time

import psutil


class Bystanders:
    """Compares what all processors did with what our own processes used."""

    def __init__(self) -> None:
        self._own: dict[int, float] = {}
        self._before: dict[int, float] = {}
        self._busy = _busy()
        self._since = time.monotonic()
        self.look()
        self._before = dict(self._own)

    def look(self) -> None:
        """Note what our processes have used, before some of them end."""
        servers = (os.environ["LOAD_NAME"], "mariadbd")
        ours = {process.pid for process in psutil.Process().children(recursive=True)}
        for process in psutil.process_iter(["pid", "cmdline", "cpu_times"]):
            told = process.info
            text = " ".join(told["cmdline"] or ())
            is_server = any(mark in text for mark in servers)
            if told["cpu_times"] and (told["pid"] in ours or is_server):
                self._own[told["pid"]] = told["cpu_times"].user + told["cpu_times"].system

    def cores(self) -> float:
        """Return how many processors others kept busy since the start."""
        self.look()
        own = sum(used - self._before.get(pid, 0.0) for pid, used in self._own.items())
        return max(0.0, (_busy() - self._busy - own) / (time.monotonic() - self._since))


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)
