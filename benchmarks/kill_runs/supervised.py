"""Processes that are started again when they have died, as a service manager does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

STOP_SECONDS = 20


class Supervised:
    """A command that runs until it is stopped, in process groups of its own.

    Args:
        command: the command.
        environment: its variables.
        log: the file for its output.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._command = command
        self._environment = environment
        self._log = log
        self._process = self._start()

    def keep_alive(self) -> None:
        """Start the command again if it has exited."""
        if self._process.poll() is not None:
            self._end_group()
            self._process = self._start()

    def children(self) -> set[int]:
        """Return the processes that the command has started."""
        with suppress(psutil.Error):
            return {child.pid for child in psutil.Process(self._process.pid).children()}
        return set()

    def kill(self) -> None:
        """Kill the process, and all that it has started."""
        self._end_group()
        self._process.wait()

    def stop(self) -> None:
        """End the command as a service manager does."""
        self._process.send_signal(signal.SIGTERM)
        give_up_at = time.monotonic() + STOP_SECONDS
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, give_up_at - time.monotonic()))
        self.kill()

    def _end_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                env=dict(self._environment),
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
