"""Processes that a test starts and kills."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.settings.base import ROOT
from tests.waiting import TIMEOUT_SECONDS, wait_until


class Process:
    """A Python process in its own process group, with its output in a file.

    Args:
        arguments: arguments of `python`.
        environment: environment of the process.
        log: file for its output.
        cwd: its folder.
    """

    def __init__(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        cwd: Path = ROOT,
    ) -> None:
        self.log = log
        self._family: set[psutil.Process] = set()
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=cwd,
                env={**environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def family(self) -> set[psutil.Process]:
        """Return the process and its descendants, including those orphaned since the last call."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            self._family |= {process, *process.children(recursive=True)}
        return self._family

    def survivors(self) -> list[psutil.Process]:
        """Return the processes of the family that are still running."""
        return [process for process in self._family if _is_running(process)]

    def children(self) -> list[psutil.Process]:
        """Return the child processes that run jobs. Their parent is the fork server."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [
                process
                for server in psutil.Process(self.pid).children()
                for process in server.children()
                if _is_running(process)
            ]
        return []

    def fork_server(self) -> psutil.Process:
        return self.children()[0].parent()

    def send(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self, seconds: float = TIMEOUT_SECONDS) -> int:
        """Return the exit code."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"The process did not exit: {self.output}") from None

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill the process and all its descendants, whatever state they are in."""
        self.family()
        if self.is_alive:
            self.popen.kill()
        self.popen.wait()
        for process in self.survivors():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(lambda: not self.survivors(), "killed processes exit")


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def state_of(pid: int) -> str:
    """Return psutil's name of a process's state; "gone" if the process does not exist."""
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return "gone"


def resume(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
