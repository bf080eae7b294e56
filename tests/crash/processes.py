"""Processes that a test starts, and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.crash.waiting import wait_until
from tests.settings.base import ROOT


class Process:
    """A Python process in a group of its own, whose output is kept.

    Args:
        arguments: what follows `python`.
        environment: of the process.
        log: file for its output.
    """

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._family: set[psutil.Process] = set()
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
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
        """Return the process and all that descend from it, also those that have lost it since."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            self._family |= {process, *process.children(recursive=True)}
        return self._family

    def survivors(self) -> list[psutil.Process]:
        """Return those of the family that still live."""
        return [process for process in self._family if _lives(process)]

    def children(self) -> list[psutil.Process]:
        """Return the processes that run jobs: the fork server's children."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [
                process
                for server in psutil.Process(self.pid).children()
                for process in server.children()
                if _lives(process)
            ]
        return []

    def fork_server(self) -> psutil.Process:
        return self.children()[0].parent()

    def send(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self, seconds: float = 45.0) -> int:
        """Return the exit code."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"It did not end: {self.output}") from None

    def stop(self) -> int:
        """Ask it to end in order; return the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it and all that it started, whatever state they are in."""
        self.family()
        if self.is_alive:
            self.popen.kill()
        self.popen.wait()
        for process in self.survivors():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(lambda: not self.survivors(), "killed processes end")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def state_of(pid: int) -> str:
    """Return psutil's word for a process's state; "gone" if there is none."""
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return "gone"


def resume(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
