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

from arena.usage import Usage, processor_seconds, proportional_memory

STOP_SECONDS = 10


class Crew:
    """Commands that run side by side, each in a process group of its own."""

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
                process.wait(STOP_SECONDS)
            _end_group(process)
        for child in children:  # some make groups of their own
            with suppress(psutil.Error):
                child.kill()

    def is_finished(self) -> bool:
        return any(process.poll() is not None for process in self._running)

    def engines(self) -> Usage:
        """Return the processor time of the processes that were started."""
        return processor_seconds(process.pid for process in self._running)

    def executors(self) -> Usage:
        """Return the processor time of their children."""
        return processor_seconds(child.pid for child in self._children())

    def processes(self) -> int:
        return len(self._running) + len(self._children())

    def memory(self) -> float:
        return proportional_memory(p.pid for p in (*self._running, *self._children()))

    def _children(self) -> list[psutil.Process]:
        children: list[psutil.Process] = []
        for process in self._running:
            try:
                children += psutil.Process(process.pid).children(recursive=True)
            except psutil.Error:
                continue
        return children


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing behind of what the process started, nor the process itself."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
