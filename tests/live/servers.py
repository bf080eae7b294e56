"""ASGI servers in their own processes, on the test's database."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from django.db import connection

from tests.settings.base import ROOT
from tests.waiting import TIMEOUT_SECONDS
from tests.worker.conftest import until

COMMANDS = {
    "uvicorn": ["uvicorn", "{application}", "--port", "{port}", "--log-level", "warning"],
    "daphne": ["daphne", "{application}", "-p", "{port}", "-b", "127.0.0.1", "-v", "0"],
    "hypercorn": ["hypercorn", "{application}", "-b", "127.0.0.1:{port}", "--workers", "0"],
    "granian": ["granian", "{application}", "--port", "{port}", "--interface", "asgi"],
    "gunicorn": ["gunicorn", "{application}", "-k", "asgi", "-b", "127.0.0.1:{port}"],
}
"""The command of each server as its documentation recommends, after `python -m`."""


class Server:
    """A running server, which accepts connections.

    Args:
        kind: a key of COMMANDS.
        environment: of its process.
        log: file for its output.
        application: path of the ASGI application.
        options: OPTIONS of the backend.
    """

    def __init__(
        self,
        kind: str,
        environment: Mapping[str, str],
        log: Path,
        *,
        application: str = "tests.live.application:application",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind = kind
        self.port = _free_port()
        self._log = log
        command = [part.format(application=application, port=self.port) for part in COMMANDS[kind]]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env={
                    **environment,
                    "DJANGO_SETTINGS_MODULE": "tests.settings",
                    "OFFLOAD_TEST_OPTIONS": json.dumps(options or {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(self._is_listening)

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def serving(self) -> psutil.Process:
        """Return the process in which the application runs: the server's child, if it has one."""
        (process,) = psutil.Process(self.process.pid).children() or [
            psutil.Process(self.process.pid)
        ]
        return process

    def connections(self) -> int:
        """Return the number of its open connections to the test's database."""
        process = self.serving()
        if connection.vendor == "sqlite":
            name = str(connection.settings_dict["NAME"])
            return sum(file.path == name for file in process.open_files())
        port = int(connection.settings_dict["PORT"])
        return sum(
            bool(each.raddr) and each.raddr.port == port for each in process.net_connections()
        )

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server and its children, in any state."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT_SECONDS)

    def _is_listening(self) -> bool:
        assert self.process.poll() is None, self.output
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
