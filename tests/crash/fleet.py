"""Scenarios with Celery's workers."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from celery import Celery
from django.test import override_settings

from offload.backends.base import get_backend
from tests import celery_apps
from tests.crash.processes import Process
from tests.crash.scenario import OPTIONS, Scenario

BACKEND = "offload.backends.celery.CeleryBackend"
QUEUE = "default"


class Fleet(Scenario):
    """The jobs, Celery workers and workers with duties of one crash test.

    Args:
        environment: environment in which another process opens the test's database.
        folder: where the execution log and the output of the processes are kept.
        application: the name of an application in `tests.celery_apps`.
    """

    def __init__(self, environment: dict[str, str], folder: Path, application: str) -> None:
        super().__init__(environment, folder)
        self.application = application
        self.app: Celery = getattr(celery_apps, application)
        self.prefix = f"offload-test-{uuid4().hex[:10]}-"
        self.environment["OFFLOAD_TEST_BACKEND"] = BACKEND

    @property
    def options(self) -> dict[str, Any]:
        """The backend's options about the broker."""
        path = f"tests.celery_apps.{self.application}"
        return {"celery_app": path, "celery_queue_prefix": self.prefix, "resend_after": 1.0}

    @contextmanager
    def backend(self, **options: Any) -> Iterator[None]:
        """Let this process enqueue its jobs for the fleet."""
        options = {**OPTIONS, **self.options, **options}
        tasks = {"BACKEND": BACKEND, "QUEUES": ["default", "mail", "slow"], "OPTIONS": options}
        with override_settings(TASKS={"default": tasks}):
            yield

    def start_celery(
        self, pool: str, concurrency: int = 2, *, failpoint: str = "", **options: Any
    ) -> Process:
        """Start a Celery worker; return once it takes messages."""
        command = ["-m", "celery", "-A", f"tests.celery_apps:{self.application}", "worker"]
        command += ["--pool", pool, "--concurrency", str(concurrency), "--loglevel", "info"]
        command += ["--queues", f"{self.prefix}{QUEUE}", "--hostname", f"{uuid4().hex}@%h"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        worker = self.run(command, self._variables(options, failpoint))
        self.wait_for(lambda: " ready." in worker.output, "the Celery worker is ready", 90)
        return worker

    def start_duties(self, **options: Any) -> Process:
        """Start a worker that runs no jobs."""
        command = ["-m", "django", "offload_worker", "--no-reload", "--duties-only"]
        return self.run(command, self._variables(options, ""))

    def _variables(self, options: dict[str, Any], failpoint: str) -> dict[str, str]:
        variables = {
            **self.environment,
            "OFFLOAD_TEST_OPTIONS": json.dumps({**OPTIONS, **self.options, **options}),
        }
        if failpoint:
            mark = str(self.mark)
            variables |= {"OFFLOAD_FAILPOINT": failpoint, "OFFLOAD_FAILPOINT_MARK": mark}
        return variables

    def is_child(self, worker: Process, pid: int) -> bool:
        """Return whether a process is one of a Celery worker of the pool prefork."""
        return pid in {child.pid for child in psutil.Process(worker.pid).children()}

    def flush(self) -> bool:
        """Wait until this process has sent its messages."""
        messenger: Any = get_backend("default").messenger
        return bool(messenger.flush(20))

    def empty_broker(self) -> int:
        """Remove all messages from the queue; return how many they were."""
        with self.app.connection_for_write() as connection:
            return int(connection.default_channel.queue_purge(f"{self.prefix}{QUEUE}") or 0)

    def close(self) -> None:
        super().close()
        with self.app.connection_for_write() as connection:
            connection.default_channel.queue_delete(f"{self.prefix}{QUEUE}")


def require_broker(application: str) -> None:
    """Skip the test if the broker of an application is missing; with CI=true fail."""
    url = celery_apps.REDIS_URL if "redis" in application else celery_apps.RABBITMQ_URL
    host, _, port = url.rpartition("@")[2].removeprefix("redis://").partition("/")[0].partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        message = f"No broker answers at {host}:{port} ({error}); start it: scripts/services"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
