"""Workers and web servers for the tests of job pages and streams."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from offload.watching.watcher import get_watcher
from tests.live.servers import COMMANDS, Server
from tests.worker.conftest import child_environment, gate, start_worker

__all__ = ["child_environment", "gate", "start_worker"]

OPTIONS = {"max_streams_per_user": 3, "user_getter": "tests.owners.by_header"}

type StartServer = Callable[..., Server]


# What a server does with streams does not depend on the database; SQLite has no hints to wait for.
KINDS = ["uvicorn"] if connection.vendor == "mysql" else list(COMMANDS)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start_server(process_environment: dict[str, str], tmp_path: Path) -> Iterator[StartServer]:
    """Return a function that starts a web server on the test's database."""
    started: list[Server] = []

    def start(kind: str = "uvicorn", **choices: Any) -> Server:
        started.append(Server(kind, process_environment, tmp_path / "log", **choices))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a module, with three streams per user, also by a header."""
    environment = {**os.environ, "OFFLOAD_DATABASE_NAME": str(connection.settings_dict["NAME"])}
    log = tmp_path_factory.mktemp("server") / "log"
    server = Server("uvicorn", environment, log, options=OPTIONS)
    yield server
    server.kill()


@pytest.fixture
def watched() -> Iterator[None]:
    """Stop the watcher's thread after the test, with its database connection."""
    yield
    get_watcher("default").stop()
