"""ASGI servers as processes, started as their documentation recommends."""

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

from load.web_server import accepts_connections, free_port

COMMANDS = {
    "uvicorn": "uvicorn {application} --port {port} --log-level warning",
    "daphne": "daphne {application} -p {port} -b 127.0.0.1 -v 0",
    "hypercorn": "hypercorn {application} -b 127.0.0.1:{port} --workers 0",
    "granian": "granian {application} --port {port} --interface asgi --no-access-log",
}


class Server:
    """A running server that accepts connections.

    Args:
        kind: name in COMMANDS.
        application: the ASGI application, `module:name`.
        python: the interpreter of its environment.
        env: environment variables of the process.
    """

    def __init__(self, kind: str, application: str, python: Path, env: Mapping[str, str]) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the server
        command = COMMANDS[kind].format(application=application, port=self.port)
        self.process = subprocess.Popen(
            [python, "-m", *command.split()],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if not accepts_connections(self.port, self.process):
            self.kill()
            raise RuntimeError(f"{kind} does not accept connections: {self._last_output()}")

    def _last_output(self) -> str:
        self._output.seek(0)
        return self._output.read().decode(errors="replace")[-2000:]

    def application_process(self) -> psutil.Process:
        """Return the process that runs the application: the server's child if it has one."""
        root = psutil.Process(self.process.pid)
        return next(iter(root.children()), root)

    def connections(self) -> int:
        """Return the number of its connections to the database."""
        process = self.application_process()
        if connection.vendor == "sqlite":
            # SQLite may keep the file of a closed connection open for its locks, but not the WAL.
            name = f"{connection.settings_dict['NAME']}-wal"
            return sum(file.path == name for file in process.open_files())
        port = int(connection.settings_dict["PORT"])
        return sum(
            bool(each.raddr) and each.raddr.port == port for each in process.net_connections()
        )

    def stop(self, timeout: float) -> bool:
        """Send SIGTERM; return whether the server exits within `timeout` seconds."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Kill the server and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(kind: str, application: str, python: Path, env: Mapping[str, str]) -> Iterator[Server]:
    """Keep a server running for a `with` block."""
    server = Server(kind, application, python, env)
    try:
        yield server
    finally:
        server.kill()
