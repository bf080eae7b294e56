"""The files of the example agree with each other and with the page, and are well-formed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.deploy.example import EXAMPLE, PAGE, ROOT, commands, services, variables
from tests.deploy.nginx import Nginx
from tests.deploy.project import make_project


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
        assert worker[1].replace("$WORKER_OPTIONS", options[name]) == commands()[service]
    assert web[1].replace("127.0.0.1", "0.0.0.0") == commands()["web"]


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
    checked = Nginx(tmp_path, tmp_path, 8000).check()

    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr


def test_the_services_of_compose_need_only_each_other():
    for service in services().values():
        assert set(service.get("depends_on", ())) <= set(services())
    mounts = [mount for service in services().values() for mount in service.get("volumes", ())]
    sources = {mount.split(":")[0] for mount in mounts}

    assert {EXAMPLE / source for source in sources if source.startswith(".")} == {
        EXAMPLE / "nginx.conf"
    }
    assert (EXAMPLE / services()["web"]["env_file"]).exists()


def test_containers_get_longer_to_stop_than_jobs():
    for name in ("worker", "worker-reports"):
        assert int(services()[name]["stop_grace_period"].rstrip("s")) > 30  # shutdown_timeout


def test_the_image_installs_what_the_commands_need():
    packages = (EXAMPLE / "requirements.txt").read_text()
    programs = {shlex.split(command)[0] for command in commands().values()} - {"sh", "python"}

    assert all(program in packages for program in programs)
    assert "CMD" not in (EXAMPLE / "Dockerfile").read_text()  # each service names its command


def test_the_image_contains_no_passwords():
    ignored = (EXAMPLE / ".dockerignore").read_text().splitlines()

    assert services()["web"]["env_file"] in ignored


SETTINGS = """
TASKS["default"]["QUEUES"] = ["default", "reports", "mail"]
TASKS["default"]["OPTIONS"] = {"user_getter": "shop.users.user_of"}
TASKS["mail"] = {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}
"""
SHOWN = """
import json, django
from django.conf import settings
django.setup()
print(json.dumps([settings.INSTALLED_APPS, settings.MIDDLEWARE, settings.TASKS]))
"""


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_production_keeps_the_settings_of_the_project(document, tmp_path):
    make_project(tmp_path / "project", document)
    with (tmp_path / "project" / "mysite" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)

    def load(name: str) -> Any:
        environment = {
            **os.environ,
            **variables(EXAMPLE / "mysite.env"),
            "DJANGO_SETTINGS_MODULE": name,
            "PYTHONPATH": str(ROOT / "src"),
        }
        command = [sys.executable, "-c", SHOWN]
        loaded = subprocess.run(
            command, cwd=tmp_path / "project", env=environment, capture_output=True, check=False
        )
        assert loaded.returncode == 0, loaded.stderr.decode()
        return json.loads(loaded.stdout)

    apps, middleware, tasks = load("mysite.settings")
    tasks["default"]["OPTIONS"]["address_getter"] = "mysite.production.client_address"
    assert load("mysite.production") == [apps, middleware, tasks]


def test_the_web_server_and_the_workers_share_the_uploads():
    for name in ("web", "worker", "worker-reports"):
        assert "media:/srv/mysite/media" in services()[name]["volumes"]
    assert (
        "install --directory --owner mysite static media\n" in (EXAMPLE / "Dockerfile").read_text()
    )  # a new volume has the owner of the image's folder
    assert "media" in (EXAMPLE / ".dockerignore").read_text().splitlines()


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
