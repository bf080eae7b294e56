"""The files of `examples/deploy`, on a new project: what can run without Docker and systemd."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.waiting import TIMEOUT_SECONDS, happens_within, wait_until

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "deploy"
PAGE = (ROOT / "docs" / "howto" / "deploy.md").read_text()
COMPOSE = (EXAMPLE / "compose.yaml").read_text()
COMMANDS = dict(
    re.findall(r"^  ([\w-]+):\n(?:    .*\n)*?    command: (.+)$", COMPOSE, re.MULTILINE)
)
"""The command of each service."""
URLS = """
import offload
from django.http import HttpResponse
from django.urls import include, path
from offload.live import document
from shop.tasks import add, report

def start(request):
    task = report if "report" in request.GET else add
    request.session["visitor"] = True
    return offload.accepted(request, task.enqueue(1, 2))

urlpatterns = [path("start", start), path("tasks/", include("offload.urls"))]
"""
TASKS = """
from offload import task

@task
def add(a, b):
    return a + b

@task(queue_name="reports")
def report(a, b):
    return a + b
"""


class Site:
    """A new project with the example's files, and the processes that a test starts in it."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.port = _free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-m", "django", "startproject", "mysite", str(folder)], check=True
        )
        for name in ("production.py", "asgi.py"):
            shutil.copy(EXAMPLE / name, folder / "mysite" / name)
        (folder / "mysite" / "urls.py").write_text(URLS)
        with (folder / "mysite" / "settings.py").open("a") as file:
            file.write('INSTALLED_APPS += ["shop"]\n')
        (folder / "shop").mkdir()
        (folder / "shop" / "tasks.py").write_text(TASKS)
        settings = connection.settings_dict
        self.environment = {
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

    def start(self, command: str) -> subprocess.Popen[bytes]:
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
                arguments, cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def run(self, command: str) -> None:
        assert self.start(command).wait(60) == 0, self.log

    def succeeds(self, command: str) -> bool:
        return self.start(command).wait(60) == 0

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

    def run_job(self, query: str = "", *, events: bool = False) -> dict[str, Any]:
        """Start a job as a visitor, and return its document when it has finished.

        Args:
            query: `?report` for a job of the other queue.
            events: also read its stream.
        """
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        base = f"http://127.0.0.1:{self.port}"
        accepted = f"{base}/start{query}"
        request = urllib.request.Request(accepted, headers={"Accept": "application/json"})
        with browser.open(request, timeout=30) as response:
            link = json.load(response)["links"]["self"]
        if events:
            with browser.open(
                f"{base}/tasks/events/?ids={link.split('/')[-2]}", timeout=30
            ) as stream:
                assert any(b'"successful"' in line for line in stream), self.log
        document: dict[str, Any] = {}

        def has_finished() -> object:
            url = urllib.request.Request(base + link, headers={"Accept": "application/json"})
            with browser.open(url, timeout=30) as response:
                document.update(json.load(response))
            return document["is_finished"]

        wait_until(has_finished, "the job has finished")
        assert document["state"] == "successful", self.log
        return document

    def is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def variables(path: Path) -> dict[str, str]:
    """Return the variables of a file as `EnvironmentFile` and `env_file` take it."""
    pairs = (line.split("=", 1) for line in path.read_text().splitlines())
    return dict(pairs)


def _module(program: str) -> list[str]:
    return [] if program == "python" else ["-m", program]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[Site]:
    if connection.vendor != "postgresql":
        pytest.skip("the example uses PostgreSQL")
    name = f"{connection.settings_dict['NAME']}_deploy"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    site = Site(tmp_path / "project", name)
    yield site
    site.close()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_commands_of_compose_run_jobs_under_each_web_server(site):
    site.run(COMMANDS["migrate"])
    assert (site.folder / "static" / "offload" / "task-status.js").exists()
    workers = [site.start(COMMANDS[name]) for name in ("worker", "worker-reports")]
    alternatives = re.findall(r"`(gunicorn mysite[^`]+)`", PAGE)
    assert len(alternatives) == 2

    for command in (COMMANDS["web"], *alternatives):
        server = site.start(command)
        assert happens_within(TIMEOUT_SECONDS, site.is_listening), site.log
        assert site.run_job(events=command == COMMANDS["web"])["title"] == "Add"
        assert site.run_job("?report")["title"] == "Report"
        site.stop(server)

    health = re.findall(r'test: \["CMD", (.+)\]', COMPOSE)
    assert [site.succeeds(command.replace(",", "")) for command in health] == [True]
    for worker in workers:
        site.stop(worker)


def test_the_units_start_what_compose_starts():
    units = {path.name: path.read_text() for path in (EXAMPLE / "systemd").glob("*.service")}
    options = {
        name: variables(EXAMPLE / "systemd" / f"worker-{name}.env")["WORKER_OPTIONS"]
        for name in ("default", "reports")
    }
    worker = re.search(r"ExecStart=/srv/mysite/venv/bin/(.+)", units["mysite-worker@.service"])
    web = re.search(r"ExecStart=/srv/mysite/venv/bin/(.+)", units["mysite-web.service"])
    assert worker is not None
    assert web is not None

    for service, name in (("worker", "default"), ("worker-reports", "reports")):
        assert worker[1].replace("$WORKER_OPTIONS", options[name]) == COMMANDS[service]
    inside = " --forwarded-allow-ips '*'"
    assert web[1].replace("127.0.0.1", "0.0.0.0") == COMMANDS["web"].removesuffix(inside)


def test_systemd_accepts_the_units(tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd")
    for path in (EXAMPLE / "systemd").glob("*.service"):
        text = re.sub(r"/srv/mysite/venv/bin/\w+", "/bin/true", path.read_text())
        (tmp_path / path.name).write_text(text.replace("/srv/mysite", str(tmp_path)))

    verified = subprocess.run(
        [program, "verify", "--man=no", *map(str, tmp_path.glob("*.service"))],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_nginx_accepts_its_file(tmp_path):
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("there is no nginx")
    site = (EXAMPLE / "nginx.conf").read_text().replace("server web:8000", "server 127.0.0.1:8000")
    (tmp_path / "nginx.conf").write_text(f"events {{}}\nhttp {{\n{site}}}\n")

    checked = subprocess.run(
        [program, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr


def test_clients_do_not_choose_the_address_by_which_they_are_counted():
    assert "--forwarded-allow-ips '*'" in COMMANDS["web"]  # takes the first address of the header
    site = (EXAMPLE / "nginx.conf").read_text()

    assert "proxy_set_header X-Forwarded-For $remote_addr;" in site


def test_the_image_installs_what_the_commands_need():
    packages = (EXAMPLE / "requirements.txt").read_text()
    programs = {shlex.split(command)[0] for command in COMMANDS.values()} - {"sh", "python"}

    assert all(program in packages for program in programs)
    assert "CMD" not in (EXAMPLE / "Dockerfile").read_text()  # each service names its command


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ("```dockerfile\n", "Dockerfile"),
        ("```yaml\nx-worker", "compose.yaml"),
        ("```ini\n", "systemd/mysite-worker@.service"),
        ("```nginx\nlocation", "nginx.conf"),
        ("```nginx\nmap", "nginx.conf"),
    ],
)
def test_the_page_quotes_the_file(start, name):
    block = PAGE[PAGE.index(start) :].split("```")[1]
    quoted = [line.strip() for line in block.splitlines()[1:] if line]
    lines = [line.strip() for line in (EXAMPLE / name).read_text().splitlines()]

    assert [line for line in quoted if line not in lines] == []
