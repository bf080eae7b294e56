"""The project as it is run: web servers and a worker, processes of their own."""

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
from tests.crash.waiting import wait_until

PROJECT = "tests.browser.project"
_numbers = count(1)


class Orders:
    """What a job is to do: it does it as soon as it is said."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def give(self, *order: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(order) + "\n")

    def progress(self, done: int, total: int = 100, message: str = "") -> None:
        self.give("progress", done, total, message)

    def finish(self, value: Any = None) -> None:
        self.give("return", value)

    def fail(self, message: str) -> None:
        self.give("fail", message)


class Worker:
    """Runs the project's jobs."""

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
        arguments: start the server; what follows `python`. {port} stands for its port.
    """

    def __init__(
        self, folder: Path, environment: dict[str, str], worker: Worker, arguments: list[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.worker = worker
        self._folder = folder
        self._environment = environment
        self._arguments = [each.format(port=self.port) for each in arguments]
        self._server: Process | None = None
        self._given: list[Orders] = []

    def start(self) -> None:
        if self._server is None:
            log = self._folder / f"server-{self.port}.log"
            self._server = Process(self._arguments, self._environment, log)
            wait_until(self._answers, "the server answers")

    def kill(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server = None

    def _answers(self) -> bool:
        try:
            urlopen(f"{self.url}/count/").close()
        except URLError:
            return False
        return True

    def orders(self) -> Orders:
        """Return orders for one job."""
        orders = Orders(self._folder / f"orders-{next(_numbers)}")
        self._given.append(orders)
        return orders

    def let_all_end(self) -> None:
        """Have no job run on that a test forgot."""
        while self._given:
            self._given.pop().finish()

    def enqueue(self, request: Any, orders: Orders) -> str:
        """Enqueue a job as the user whose request context it is; return its id."""
        response = request.get("/enqueue/", params={"orders": str(orders.path)})
        identifier: str = response.json()["id"]
        return identifier


def start_sites(folder: Path) -> Iterator[dict[str, Site]]:
    """Yield the sites by the kind of their server; end all that was started."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": f"{PROJECT}.settings",
        "OFFLOAD_DATABASE_NAME": str(folder / "site.sqlite3"),
        "PYTHONDEVMODE": "",
    }
    worker = Worker(folder, environment)
    asgi = ["-m", "uvicorn", f"{PROJECT}.asgi:application", "--port", "{port}", "--lifespan", "on"]
    wsgi = ["-m", "gunicorn", f"{PROJECT}.wsgi", "--bind", "127.0.0.1:{port}", "--threads", "4"]
    sites = {
        name: Site(folder, environment, worker, arguments)
        for name, arguments in {"asgi": asgi, "wsgi": wsgi}.items()
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
