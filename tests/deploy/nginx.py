"""A real nginx with the example's file, in front of a project."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.deploy.example import EXAMPLE
from tests.deploy.project import free_port, is_listening
from tests.waiting import TIMEOUT_SECONDS, happens_within, wait_until

MISSING = "No nginx; on Debian: apt-get install nginx"
MAIN = """\
{user}
daemon off;
pid nginx.pid;
error_log stderr notice;
events {{}}
http {{
    access_log off;
    {temporary}
{site}}}
"""
"""The main file, which nginx's packages bring, but with all paths in one folder."""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def find_nginx() -> str:
    """Return the program; without it skip the test, or fail it if CI is "true"."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return program


class Nginx:
    """It is not running before `start`.

    Args:
        folder: for its files.
        static: the project's static files.
        port: of the web server behind it.
    """

    def __init__(self, folder: Path, static: Path, port: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "log"
        self._command = [find_nginx(), "-e", "stderr", "-p", str(folder), "-c", "nginx.conf"]
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "nginx.conf").write_text(
            MAIN.format(
                user="user root;" if os.geteuid() == 0 else "",  # it reads this user's folders
                temporary=" ".join(f"{name}_temp_path {name};" for name in TEMPORARY),
                site=self._site(static, port),
            )
        )

    def _site(self, static: Path, port: int) -> str:
        text = (EXAMPLE / "nginx.conf").read_text()
        replacements = {
            "server web:8000": f"server 127.0.0.1:{port}",
            "listen 80": f"listen 127.0.0.1:{self.port}",
            "/srv/mysite/static": str(static),
        }
        for old, new in replacements.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        return text

    def check(self) -> subprocess.CompletedProcess[str]:
        """Let nginx check the file."""
        return subprocess.run([*self._command, "-t"], capture_output=True, text=True, check=False)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        is_up = happens_within(TIMEOUT_SECONDS, lambda: is_listening(self.port))
        assert is_up, self._log.read_text()

    def reload(self) -> None:
        """Reload the configuration: new connections get a new process, old ones keep theirs."""
        assert self._process is not None
        old = self._children()
        self._process.send_signal(signal.SIGHUP)
        wait_until(lambda: self._children() - old, "nginx has reloaded")

    def _children(self) -> set[psutil.Process]:
        assert self._process is not None
        return set(psutil.Process(self._process.pid).children())

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()  # its processes close all connections at once
            self._process.wait(30)
