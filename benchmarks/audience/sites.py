"""The sites that are compared, with what runs their jobs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from arena.crew import Crew
from arena.environments import environment as programs
from audience.servers import Server, serving
from load.database import environment
from load.engine import running

PYTHON = Path(sys.executable)
HERE = Path(__file__).resolve().parents[1]
SLOTS = 100
"""Jobs that run at once, of each site."""


@dataclass(frozen=True)
class Shown:
    """A way to show jobs.

    Attributes:
        name: what it is called in the tables.
        url: of its page.
    """

    name: str
    url: str


@contextmanager
def all_sites(kind: str, name: str, folder: Path) -> Iterator[list[Shown]]:
    """Keep both projects with their workers; give the three ways to show jobs.

    Args:
        kind: of our database.
        name: of our database.
        folder: for logs.
    """
    with ExitStack() as stack:
        stack.enter_context(running(f"--async-slots={SLOTS}", "--shutdown-timeout=1"))
        env = environment(kind, name)
        site = stack.enter_context(serving("uvicorn", "audience.asgi:beside", PYTHON, env))
        peer = stack.enter_context(_celery(folder))
        yield [
            Shown("`<task-status>`", f"{site.address}/element/"),
            Shown("plain SSE view", f"{site.address}/by-hand/"),
            Shown("celery-progress", f"{peer.address}/polled/"),
        ]


@contextmanager
def _celery(folder: Path) -> Iterator[Server]:
    """Keep the project with celery-progress, its worker and its server."""
    place = programs("celery-progress")
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "audience.polled",
        "PYTHONPATH": str(HERE),
    }
    worker = [str(place / "celery"), "-A", "audience.polled", "worker", "--purge"]
    worker += ["--pool=threads", f"--concurrency={SLOTS}", "--loglevel=warning"]
    with (
        Crew([worker], env, folder / "celery.log"),
        serving("uvicorn", "audience.polled:django", place / "python", env) as server,
    ):
        yield server
