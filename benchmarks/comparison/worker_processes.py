"""The worker processes of a contender."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from comparison.resource_usage import CpuTimes, cpu_times, proportional_memory

STOP_TIMEOUT_SECONDS = 10


class WorkerProcesses:
    """Commands that run at the same time, each in a process group of its own."""

    def __init__(
        self, commands: Sequence[Sequence[str]], environment: Mapping[str, str], log: Path
    ) -> None:
        self._commands = commands
        self._environment = environment
        self._log = log
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            for command in self._commands:
                process = subprocess.Popen(
                    command,
                    env=dict(self._environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._log.parent,
                    start_new_session=True,
                )
                self._running.append(process)
        return self

    def __exit__(self, *_: object) -> None:
        children = self._children()
        for process in self._running:
            process.terminate()
        for process in self._running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_SECONDS)
            _kill_group(process)
        for child in children:  # some contenders create further process groups
            with suppress(psutil.Error):
                child.kill()

    def has_exited(self) -> bool:
        """Return whether any of the processes has exited."""
        return any(process.poll() is not None for process in self._running)

    def worker_cpu(self) -> CpuTimes:
        """Return the CPU time of the processes that were started."""
        return cpu_times(process.pid for process in self._running)

    def executor_cpu(self) -> CpuTimes:
        """Return the CPU time of their children."""
        return cpu_times(child.pid for child in self._children())

    def count(self) -> int:
        return len(self._running) + len(self._children())

    def memory(self) -> float:
        """Return the PSS of all processes in MiB."""
        return proportional_memory(p.pid for p in (*self._running, *self._children()))

    def _children(self) -> list[psutil.Process]:
        children: list[psutil.Process] = []
        for process in self._running:
            try:
                children += psutil.Process(process.pid).children(recursive=True)
            except psutil.Error:
                continue
        return children


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started in its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
