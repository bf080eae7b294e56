"""A worker in threads of another program, such as a web server."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from django.conf import settings
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

from offload.backends.base import get_backend
from offload.worker.child.project import import_tasks
from offload.worker.config import WorkerConfig, make_engine
from offload.worker.logs import show_job_lines

if TYPE_CHECKING:
    from offload.worker.engine import Engine


logger = logging.getLogger("offload.worker")


class EmbeddedWorker:
    """A worker that runs the jobs of one backend in threads of this process.

    While the database does not respond, or its migrations are missing, the worker waits.

    Args:
        backend: alias in TASKS.
    """

    def __init__(self, backend: str = DEFAULT_TASK_BACKEND_ALIAS) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the worker, unless it is running.

        Raises:
            InvalidTaskBackend: if TASKS has no such alias.
            ImproperlyConfigured: if OPTIONS are invalid.
        """
        with self._lock:
            if self.is_running:
                return
            options = replace(get_backend(self._backend).settings, processes=0)
            self._engine = make_engine(WorkerConfig(backend=self._backend, options=options))
            self._thread = threading.Thread(target=self._run, name="offload-worker", daemon=True)
            self._thread.start()
            _call_at_exit(self.stop)
        if settings.DEBUG:  # Django's default logging shows only its own loggers
            show_job_lines()
        logger.info(
            "This process runs jobs of the backend %r: in %s threads, and %s async tasks at once.",
            self._backend,
            options.threads,
            options.async_slots,
        )

    def stop(self) -> None:
        """Let running jobs finish, and wait until the worker has stopped."""
        with self._lock:
            if self._engine is not None and self._thread is not None and self.is_running:
                self._engine.stop()
                self._thread.join()
            self._engine = self._thread = None

    def _run(self) -> None:
        assert self._engine is not None  # noqa: S101  # for the type checker
        import_tasks()  # their limits and schedules
        try:
            self._engine.run()
        except Exception:
            logger.critical(
                "The embedded worker has failed; this process runs no jobs.",
                exc_info=True,
            )


def _call_at_exit(stop: Callable[[], None]) -> None:
    """Call `stop` before Python stops its thread pools, which async tasks need.

    `atexit` runs after that. The earlier hook is private, and has not changed since Python 3.9.
    """
    register = getattr(threading, "_register_atexit", atexit.register)
    register(stop)
