"""The project as processes: web servers and a worker."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.crash.processes import Process
from tests.waiting import wait_until

PROJECT = "tests.browser.project"
_numbers = count(1)

UVICORN = ["-m", "uvicorn", "--port", "{port}"]
SERVERS = {
    "asgi": [*UVICORN, "--lifespan", "on", f"{PROJECT}.asgi:application"],
    "gunicorn": ["-m", "gunicorn", f"{PROJECT}.asgi", "-k", "asgi", "--bind", "127.0.0.1:{port}"],
    "asgi-without-sockets": [*UVICORN, f"{PROJECT}.asgi:django"],
    "wsgi": ["-m", "gunicorn", f"{PROJECT}.wsgi", "--bind", "127.0.0.1:{port}", "--threads", "4"],
}
"""Arguments of `python` for each kind of server."""


class JobControl:
    """Controls one running job.

    Args:
        path: file that the job reads commands from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def send(self, *command: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(command) + "\n")

    def progress(self, done: int, total: int = 100, message: str = "") -> None:
        self.send("progress", done, total, message)

    def finish(self, value: Any = None) -> None:
        self.send("return", value)

    def fail(self, message: str) -> None:
        self.send("fail", message)


class SiteWorker:
    """The worker of the project."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._process: Process | None = None

    def start(self) -> None:
        if self._process is None:
            arguments = ["-m", "django", "offload_worker", "--processes", "0", "--threads", "16"]
            self._process = Process(arguments, self._environment, self._folder / "worker.log")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None


class Site:
    """The project behind one web server.

    Args:
        folder: for logs and the files of `JobControl`.
        environment: of the server's process.
        worker: runs the jobs.
        arguments: of `python`, with {port} for the port.
    """

    def __init__(
        self, folder: Path, environment: dict[str, str], worker: SiteWorker, arguments: list[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.worker = worker
        self._folder = folder
        self._environment = environment
        self._arguments = [argument.format(port=self.port) for argument in arguments]
        self._server: Process | None = None
        self._controls: list[JobControl] = []

    def start(self) -> None:
        if self._server is None:
            log = self._folder / f"server-{self.port}.log"
            self._server = Process(self._arguments, self._environment, log)
            wait_until(self._responds, "the server responds")

    def kill(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server = None

    def _responds(self) -> bool:
        try:
            urlopen(f"{self.url}/count/").close()
        except URLError:
            return False
        return True

    def control(self) -> JobControl:
        """Return the control for a new job."""
        control = JobControl(self._folder / f"control-{next(_numbers)}")
        self._controls.append(control)
        return control

    def finish_all(self) -> None:
        """Finish the jobs that a test has left running."""
        while self._controls:
            self._controls.pop().finish()

    def enqueue(self, request: Any, control: JobControl, task: str = "controlled") -> str:
        """Enqueue a job as the user of a browser's request context; return its id."""
        response = request.get("/enqueue/", params={"control": str(control.path), "task": task})
        identifier: str = response.json()["id"]
        return identifier


def start_sites(folder: Path) -> Iterator[dict[str, Site]]:
    """Yield the project behind each kind of server, with one worker; stop everything at the end.

    A test starts the servers that it uses.
    """
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": f"{PROJECT}.settings",
        "OFFLOAD_DATABASE_NAME": str(folder / "site.sqlite3"),
        "PYTHONDEVMODE": "",
    }
    worker = SiteWorker(folder, environment)
    sites = {
        kind: Site(folder, environment, worker, arguments) for kind, arguments in SERVERS.items()
    }
    migrate = Process(["-m", "django", "migrate", "-v0"], environment, folder / "migrate.log")
    assert migrate.wait() == 0, migrate.output
    worker.start()
    try:
        yield sites
    finally:
        for site in sites.values():
            site.kill()
        worker.kill()
