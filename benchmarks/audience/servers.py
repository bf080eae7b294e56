"""ASGI servers, as processes of their own, started as documents recommend."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from django.db import connection

from load.server import answers, free_port

COMMANDS = {
    "uvicorn": "uvicorn {application} --port {port} --log-level warning",
    "daphne": "daphne {application} -p {port} -b 127.0.0.1 -v 0",
    "hypercorn": "hypercorn {application} -b 127.0.0.1:{port} --workers 0",
    "granian": "granian {application} --port {port} --interface asgi --no-access-log",
}


class Server:
    """One server, that takes connections.

    Args:
        kind: its name.
        application: what it serves, `module:name`.
        python: of the environment that has it.
        env: of its process.
    """

    def __init__(self, kind: str, application: str, python: Path, env: Mapping[str, str]) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the server
        command = COMMANDS[kind].format(application=application, port=self.port)
        self.process = subprocess.Popen(
            [python, "-m", *command.split()],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if not answers(self.port, self.process):
            self.kill()
            raise RuntimeError(f"{kind} does not answer: {self.said()}")

    def said(self) -> str:
        """Return the end of what it has printed."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")[-2000:]

    def serving(self) -> psutil.Process:
        """Return the process in which the application runs: the server's child if it has one."""
        root = psutil.Process(self.process.pid)
        return next(iter(root.children()), root)

    def connections(self) -> int:
        """Return how many connections to the database of this run it holds."""
        process = self.serving()
        if connection.vendor == "sqlite":
            # Of closed connections the file may stay open for its locks, but not the log.
            name = f"{connection.settings_dict['NAME']}-wal"
            return sum(file.path == name for file in process.open_files())
        port = int(connection.settings_dict["PORT"])
        return sum(
            bool(each.raddr) and each.raddr.port == port for each in process.net_connections()
        )

    def stop(self, limit: float) -> bool:
        """Tell it to stop; return whether it ended within so many seconds."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it and its children, whatever state they are in."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(kind: str, application: str, python: Path, env: Mapping[str, str]) -> Iterator[Server]:
    """Keep a server for a `with` block."""
    server = Server(kind, application, python, env)
    try:
        yield server
    finally:
        server.kill()
