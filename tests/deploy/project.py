"""A new project with the example's files, and the processes that tests start in it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from django.db import connection

from tests.browser.walkthrough import read_blocks
from tests.deploy.example import EXAMPLE, ROOT, variables
from tests.waiting import TIMEOUT_SECONDS, happens_within, wait_until

URLS = """
import offload
from django.http import HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from shop import tasks

def start(request, task):
    request.session["visitor"] = True
    result = getattr(tasks, task).enqueue(*request.GET.getlist("with"))
    return offload.accepted(request, result)

@csrf_exempt
def upload(request):
    return HttpResponse(sum(map(len, request.FILES["file"].chunks())))

urlpatterns = [
    path("start/<task>", start),
    path("upload", upload),
    path("tasks/", include("offload.urls")),
]
"""
TASKS = """
from pathlib import Path

from offload import task

@task
def add(a, b):
    return int(a) + int(b)

@task(queue_name="reports")
def report():
    pass

@task
def hold(fifo):
    Path(fifo).read_text()
"""
FEW_STREAMS = """
from mysite.production import *

TASKS["default"]["OPTIONS"]["max_streams"] = 4  # one for each address of a visitor
"""


class Visitor:
    """A browser without JavaScript: it keeps its session.

    Args:
        url: of the site.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def open(self, path: str, **headers: str) -> Any:
        request = urllib.request.Request(self._url + path, headers=headers)
        return self._opener.open(request, timeout=TIMEOUT_SECONDS)

    def get(self, path: str) -> Any:
        with self.open(path, Accept="application/json") as response:
            return json.load(response)

    def start(self, task: str) -> str:
        """Start a job; return its id."""
        return str(self.get(f"/start/{task}")["id"])

    def finish(self, identifier: str) -> dict[str, Any]:
        """Return the document of a job when it has finished."""
        document: dict[str, Any] = {}

        def has_finished() -> object:
            document.update(self.get(f"/tasks/{identifier}/"))
            return document["is_finished"]

        wait_until(has_finished, "the job has finished")
        return document

    @property
    def cookies(self) -> str:
        (handler,) = (
            handler
            for handler in self._opener.handlers  # type: ignore[attr-defined]
            if isinstance(handler, urllib.request.HTTPCookieProcessor)
        )
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in handler.cookiejar)


class Project:
    """The project, on a database of its own.

    Args:
        folder: where it is made.
        database: its name.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        make_project(folder, "README.md")
        (folder / "mysite" / "urls.py").write_text(URLS)
        (folder / "mysite" / "few_streams.py").write_text(FEW_STREAMS)
        (folder / "shop" / "tasks.py").write_text(TASKS)
        settings = connection.settings_dict
        self._environment = {
            **os.environ,
            **variables(EXAMPLE / "mysite.env"),
            "ALLOWED_HOSTS": "127.0.0.1",
            "POSTGRES_HOST": settings["HOST"],
            "POSTGRES_PORT": str(settings["PORT"]),
            "POSTGRES_DB": database,
            "POSTGRES_USER": settings["USER"],
            "POSTGRES_PASSWORD": settings["PASSWORD"],
            "PYTHONPATH": str(ROOT / "src"),
        }

    def start(self, command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command of the example with this Python, and a port of its own."""
        command = command.replace("0.0.0.0", "127.0.0.1").replace("8000", str(self.port))
        program, *arguments = shlex.split(command)
        if program != "sh":
            arguments = [sys.executable, *_module(program), *arguments]
        else:
            script = arguments[1].replace("python", shlex.quote(sys.executable))
            arguments = ["sh", arguments[0], script]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                arguments,
                cwd=self.folder,
                env={**self._environment, **environment},
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    def serve(self, command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a web server, and wait until it accepts connections."""
        server = self.start(command, **environment)
        assert happens_within(TIMEOUT_SECONDS, lambda: is_listening(self.port)), self.log
        return server

    def run(self, command: str) -> None:
        assert self.start(command).wait(60) == 0, self.log

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in {0, -signal.SIGTERM}, self.log

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(30)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def make_project(folder: Path, document: str) -> None:
    """Make the project of a document, and copy the example's modules into it."""
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "mysite", str(folder)], check=True
    )
    with (folder / "mysite" / "settings.py").open("a") as settings:
        for block in read_blocks(document):
            if block.is_appended and block.file == "mysite/settings.py":
                settings.write(block.text)
    (folder / "shop").mkdir()
    for name in ("production.py", "asgi.py"):
        shutil.copy(EXAMPLE / name, folder / "mysite" / name)


def _module(program: str) -> list[str]:
    return [] if program == "python" else ["-m", program]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
