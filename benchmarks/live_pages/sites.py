"""The sites that are compared, with their workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from comparison.environments import environment as bin_folder
from comparison.worker_processes import WorkerProcesses
from live_pages.servers import Server, serving
from load.database import environment
from load.worker import running_worker

PYTHON = Path(sys.executable)
BENCHMARKS = Path(__file__).resolve().parents[1]
SLOTS = 100
"""Jobs that run at once, for each site."""


@dataclass(frozen=True)
class Site:
    """A page that shows jobs.

    Attributes:
        name: name in the tables.
        url: URL of the page.
    """

    name: str
    url: str


@contextmanager
def all_sites(kind: str, name: str, folder: Path) -> Iterator[list[Site]]:
    """Keep both projects and their workers running; yield the three pages.

    Args:
        kind: kind of django-offload's database.
        name: name of django-offload's database.
        folder: for logs.
    """
    with ExitStack() as stack:
        stack.enter_context(running_worker(f"--async-slots={SLOTS}", "--shutdown-timeout=1"))
        env = environment(kind, name)
        application = "live_pages.asgi:with_streams"
        server = stack.enter_context(serving("uvicorn", application, PYTHON, env))
        peer = stack.enter_context(_celery_progress(folder))
        yield [
            Site("`<task-status>`", f"{server.address}/element/"),
            Site("plain SSE view", f"{server.address}/sse-view/"),
            Site("celery-progress", f"{peer.address}/jobs/"),
        ]


@contextmanager
def _celery_progress(folder: Path) -> Iterator[Server]:
    """Keep the worker and the server of the project with celery-progress running."""
    programs = bin_folder("celery-progress")
    module = "live_pages.celery_progress_site"
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": module, "PYTHONPATH": str(BENCHMARKS)}
    worker = [str(programs / "celery"), "-A", module, "worker", "--purge"]
    worker += ["--pool=threads", f"--concurrency={SLOTS}", "--loglevel=warning"]
    with (
        WorkerProcesses([worker], env, folder / "celery.log"),
        serving("uvicorn", f"{module}:django", programs / "python", env) as server,
    ):
        yield server
