"""A database server of the test's own, which it may stop and kill."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from django.core.management import call_command
from django.db import connection

from tests.settings.base import ROOT
from tests.waiting import wait_until

NAMES = {"postgresql": "postgresql", "mysql": "mariadb"}
LIMIT = 90.0


class Server:
    """A server started by `scripts/services`, with its own folder and port.

    Args:
        folder: where its data is kept; the server's user must be able to enter it.
    """

    def __init__(self, folder: Path) -> None:
        self.name = NAMES[connection.vendor]
        self.port = _free_port()
        self._folder = folder

    @property
    def environment(self) -> dict[str, str]:
        return {
            f"OFFLOAD_{self.name.upper()}_PORT": str(self.port),
            "OFFLOAD_TEST_SYNCHRONOUS_COMMIT": "on",
        }

    def start(self) -> None:
        self._services(self.name)

    def stop(self) -> None:
        self._services("stop", self.name)

    def kill(self) -> None:
        """Kill all its processes at once, as a power failure would."""
        server = psutil.Process(self._pid())
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with suppress(
                psutil.NoSuchProcess
            ):  # a child may notice that its parent died and exit first
                process.send_signal(signal.SIGKILL)
        wait_until(lambda: not any(map(psutil.Process.is_running, processes)), "the server exits")

    def _pid(self) -> int:
        (home,) = self._folder.glob("offload-services-*")
        file = "data/postmaster.pid" if self.name == "postgresql" else "pid"
        return int((home / self.name / file).read_text().split()[0])

    def _services(self, *arguments: str) -> None:
        environment = {**os.environ, **self.environment, "TMPDIR": str(self._folder)}
        done = subprocess.run(
            [ROOT / "scripts" / "services", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def own_server() -> Iterator[Server]:
    """Start a server with the project's tables and point this process's connection to it."""
    folder = Path(tempfile.mkdtemp(prefix="offload-own-"))
    folder.chmod(0o755)
    server = Server(folder)
    settings = dict(connection.settings_dict)
    try:
        server.start()
        _point_to(server)
        call_command("migrate", run_syncdb=True, verbosity=0)
        yield server
    finally:
        connection.close()
        connection.settings_dict.update(settings)
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _point_to(server: Server) -> None:
    connection.close()
    name = "offload_own"
    admin = {"postgresql": "postgres", "mariadb": "mysql"}[server.name]
    connection.settings_dict.update(PORT=server.port, NAME=admin)
    if server.name == "postgresql":
        connection.settings_dict["OPTIONS"] = {"options": "-c synchronous_commit=on"}
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    connection.close()
    connection.settings_dict.update(NAME=name)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
