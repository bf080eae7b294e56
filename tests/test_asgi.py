"""A worker in the process of a web server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from offload import JobState
from offload.asgi import Offload
from offload.models import Worker
from tests.tasks import add
from tests.waiting import TIMEOUT_SECONDS
from tests.worker import tasks
from tests.worker.conftest import until

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.django_db(transaction=True)


async def inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "response", "to": scope["type"]})


@pytest.fixture
def application() -> Iterator[Offload]:
    application = Offload(inner)
    yield application
    if application._worker is not None:
        application._worker.stop()


async def run_lifespan(application: Offload, while_up: Any = None) -> list[str]:
    """Act as a server with lifespan; return the types of the messages sent by the application."""
    messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    sent: list[str] = []
    started = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message["type"])
        started.set()

    server = asyncio.create_task(application({"type": "lifespan"}, messages.get, send))
    await messages.put({"type": "lifespan.startup"})
    await started.wait()
    if while_up is not None:
        await while_up()
    await messages.put({"type": "lifespan.shutdown"})
    await server
    return sent


def request(application: Offload, kind: str = "http") -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    asyncio.run(application({"type": kind, "path": "/"}, receive, send))
    return sent


def worker_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "offload-worker"]


def test_the_worker_runs_as_long_as_the_server(application):
    async def run_a_job() -> None:
        result = await add.aenqueue(1)
        assert (await result.wait_async(20)).return_value == 1
        assert len(worker_threads()) == 1

    sent = asyncio.run(run_lifespan(application, run_a_job))

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert not worker_threads()
    assert not Worker.objects.exists()


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_without_lifespan_the_first_request_starts_the_worker(application, kind):
    assert request(application, kind) == [{"type": "response", "to": kind}]
    request(application, kind)

    assert add.enqueue(1).wait(20).return_value == 1
    assert len(worker_threads()) == 1


def test_tasks_run_in_the_process_of_the_server(application):
    request(application)

    assert tasks.process_and_thread.enqueue().wait(20).return_value[0] == os.getpid()


def test_without_a_worker_requests_are_passed_on():
    application = Offload(inner, run_jobs=False)

    assert request(application) == [{"type": "response", "to": "http"}]
    sent = asyncio.run(run_lifespan(application))

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert not worker_threads()


def test_an_unknown_backend_stops_the_server():
    application = Offload(inner, backend="unknown")

    with pytest.raises(Exception, match="unknown"):
        asyncio.run(run_lifespan(application))


# --- a real server ----------------------------------------------------------------------------


SETTINGS = """
from tests.settings import *
DATABASES = {database!r}
ROOT_URLCONF = "web"
ALLOWED_HOSTS = ["*"]
DEBUG = False
# Not `disable_existing_loggers`, whose default is True.
LOGGING = {{
    "version": 1,
    "handlers": {{"console": {{"class": "logging.StreamHandler"}}}},
    "root": {{"handlers": ["console"], "level": "INFO"}},
}}
"""

WEB = """
import json, multiprocessing, os, signal
from django.http import JsonResponse
from django.urls import path
from tests.worker.tasks import process_and_thread
from django.tasks import default_task_backend
from tests.tasks import fail
from offload import task
from offload.exceptions import QueueUnavailable

@task
def fork():
    process = multiprocessing.get_context("fork").Process(target=signal.pause)
    process.start()
    process.terminate()
    process.join(10)
    process.kill()
    return process.exitcode

def upload(request):
    try:
        result = process_and_thread.enqueue()
    except QueueUnavailable as error:
        return JsonResponse({"error": str(error)}, status=503)
    return JsonResponse({"pid": os.getpid(), "id": result.id})

def others(request):
    fail.enqueue("because")
    return JsonResponse({"id": fork.enqueue().id})

def job(request, id):
    result = default_task_backend.get_result(id)
    value = result.return_value if result.status.name == "SUCCESSFUL" else None
    return JsonResponse({"state": result.state.name, "value": value})

urlpatterns = [path("upload", upload), path("others", others), path("job/<id>", job)]
"""

ASGI = """
from django.core.asgi import get_asgi_application
from offload.asgi import Offload
application = Offload(get_asgi_application())
"""


class Server:
    """Uvicorn in its own process, with its own database."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        database = {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(folder / "web.sqlite3"),
                "OPTIONS": {
                    "transaction_mode": "IMMEDIATE",
                    "init_command": "PRAGMA journal_mode=wal",
                },
            }
        }
        (folder / "web_settings.py").write_text(SETTINGS.format(database=database))
        (folder / "web.py").write_text(WEB)
        (folder / "web_asgi.py").write_text(ASGI)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "web_settings",
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        }
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "web_asgi:application"),
                *("--fd", str(self._socket.fileno()), *arguments),
            ],
            env=self.environment,
            pass_fds=[self._socket.fileno()],
            stdout=self.log,
            stderr=self.log,
        )

    def get(self, path: str) -> dict[str, Any]:
        port = self._socket.getsockname()[1]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.load(error))

    def migrate(self) -> None:
        command = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
        subprocess.run(command, env=self.environment, check=True, timeout=60)

    def close(self) -> None:
        """Kill the process if it is running, and close its files."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(TIMEOUT_SECONDS)
        self.log.close()
        self._socket.close()

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(TIMEOUT_SECONDS)
        self.log.seek(0)
        return code, self.log.read()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Any]:
    started: list[Server] = []

    def start(*arguments: str) -> Server:
        started.append(Server(tmp_path, *arguments))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_a_job_runs_in_the_process_of_a_real_server(start_server, lifespan):
    server = start_server("--lifespan", lifespan)
    server.migrate()

    response = server.get("upload")
    job = until(lambda: finished_job(server, response["id"]))

    assert job["value"][0] == response["pid"] == server.process.pid
    _, log = server.stop()
    assert "Traceback" not in log


def test_a_real_server_logs_its_worker_and_failed_jobs_and_its_tasks_can_fork(start_server):
    server = start_server("--lifespan", "on")
    server.migrate()

    identifier = server.get("others")["id"]
    forked = until(lambda: finished_job(server, identifier))
    _, log = server.stop()

    assert forked["value"] == -signal.SIGTERM
    assert "This process runs jobs of the backend 'default': in 4 threads" in log
    assert "ValueError: because" in log


def finished_job(server: Server, identifier: str) -> dict[str, Any] | None:
    job = server.get(f"job/{identifier}")
    return job if job["state"] == JobState.SUCCESSFUL.name else None


def test_the_worker_starts_when_the_database_is_migrated(start_server):
    server = start_server("--lifespan", "on")

    refused = server.get("upload")
    assert "python manage.py migrate" in refused["error"]

    server.migrate()
    response = server.get("upload")
    assert until(lambda: finished_job(server, response["id"]))
    server.stop()
