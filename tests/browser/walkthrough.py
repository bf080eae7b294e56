"""Follows a document as a newcomer does: its files are written and its commands run, in order."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from tests.crash.processes import Process
from tests.settings.base import ROOT
from tests.waiting import wait_until

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w/]+\.(?:py|html))`")
INSTALLATION = ("git clone ", "pip install ", "python -m venv ", ". venv/")
"""Beginnings of the commands that install packages, which the environment of the tests has done."""
SERVER = "127.0.0.1:8000"


class Block(NamedTuple):
    """A block of code of a document.

    Attributes:
        language: as the document names it.
        text: the code.
        introduction: the paragraph before it.
    """

    language: str
    text: str
    introduction: str

    @property
    def file(self) -> str:
        """The file that the introduction names; "" if it names none."""
        names = FILE.findall(self.introduction)
        return names[-1] if names else ""

    @property
    def is_appended(self) -> bool:
        return "at the end of" in self.introduction


def read_blocks(document: str) -> Iterator[Block]:
    """Yield the blocks of a document, in order."""
    text = (ROOT / document).read_text()
    end = 0
    for match in BLOCK.finditer(text):
        paragraphs = text[end : match.start()].strip().rpartition("\n\n")
        yield Block(match[1], match[2], paragraphs[2])
        end = match.end()


class Walkthrough:
    """A newcomer with a folder, terminals and a web server.

    Args:
        folder: an empty folder outside of the repository.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cwd = folder
        self.processes: dict[str, Process] = {}
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = self._make_environment()

    def follow(self, document: str, *, start: str = "", stop: str = "") -> None:
        """Write the files and run the commands of a document.

        Args:
            document: its path in the repository.
            start: a text in the first block that is followed; "" for the first one.
            stop: a text in the first block that is not; "" for none.
        """
        has_started = not start
        for block in read_blocks(document):
            has_started = has_started or start in block.text
            if stop and stop in block.text:
                return
            if has_started:
                self._follow(block)

    def run(self, command: str) -> str:
        """Run a command in the project's folder; return its output."""
        script = f"{command}\npwd >{self.folder}/cwd"
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.cwd,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        self.cwd = Path((self.folder / "cwd").read_text().strip())
        return done.stdout

    def wait_for_server(self) -> None:
        """Wait until the web server responds."""
        wait_until(self._responds, "the web server responds")

    def stop(self) -> None:
        """End all terminals."""
        while self.processes:
            self.processes.popitem()[1].kill()

    def _follow(self, block: Block) -> None:
        if block.language == "sh":
            for line in block.text.splitlines():
                self._type(line.partition("  #")[0].strip())
        elif block.file:
            path = self.cwd / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if block.is_appended else "w") as file:
                file.write(f"\n{block.text}" if block.is_appended else block.text)

    def _type(self, command: str) -> None:
        if command.startswith(INSTALLATION):
            return
        if command.endswith("runserver"):
            self._serve(f"{command} {self.port}")
        elif command.startswith("uvicorn "):
            self._serve(f"python -m {command} --port {self.port}")
        elif command.endswith("offload_worker"):
            self._open_terminal(command)
        else:
            self.run(command)

    def _serve(self, command: str) -> None:
        self._open_terminal(command)
        self.wait_for_server()

    def _open_terminal(self, command: str) -> None:
        """Start a command that runs on; a terminal runs one command of each name."""
        _, *arguments = shlex.split(command)
        log = self.folder / f"{len(self.processes)}.log"
        self.processes[command] = Process(arguments, self._environment, log, cwd=self.cwd)

    def _responds(self) -> bool:
        output = "\n".join(process.output for process in self.processes.values())
        assert all(process.is_alive for process in self.processes.values()), output
        try:
            urlopen(f"{self.url}/admin/login/").close()
        except OSError:  # it does not listen yet, or restarts
            return False
        return True

    def _make_environment(self) -> dict[str, str]:
        """Return the variables of a terminal in an activated environment."""
        commands = self.folder / "bin"
        commands.mkdir()
        for name, arguments in {"python": "", "django-admin": "-m django"}.items():
            (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
            (commands / name).chmod(0o755)
        dropped = {"DJANGO_SETTINGS_MODULE", "PYTHONPATH", "PYTHONDEVMODE"}
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in dropped and not name.startswith("OFFLOAD_")
        }
        return {**kept, "PATH": f"{commands}:{kept['PATH']}", "PYTHONUNBUFFERED": "1"}
