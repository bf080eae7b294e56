"""The engine in a thread of another program, such as the web server."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

from offload.backends.base import get_backend
from offload.worker.config import WorkerConfig, make_engine

if TYPE_CHECKING:
    from offload.worker.engine import Engine


logger = logging.getLogger("offload.worker")


class EmbeddedWorker:
    """Runs the jobs of one backend in threads of this process.

    It waits by itself for a database that does not answer, or was not migrated yet.

    Args:
        backend: alias in TASKS.
    """

    def __init__(self, backend: str = DEFAULT_TASK_BACKEND_ALIAS) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start it, if it does not run.

        Raises:
            InvalidTaskBackend: for an alias that TASKS does not have.
            ImproperlyConfigured: for bad OPTIONS.
        """
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            options = replace(get_backend(self._backend).settings, processes=0)
            self._engine = make_engine(WorkerConfig(backend=self._backend, options=options))
            self._thread = threading.Thread(target=self._run, name="offload-engine", daemon=True)
            self._thread.start()
            _at_exit(self.stop)

    def stop(self) -> None:
        """Stop it in order, and wait until it has stopped."""
        with self._lock:
            if self._engine is None or self._thread is None:
                return
            self._engine.stop()
            self._thread.join()
            self._engine = self._thread = None

    def _run(self) -> None:
        assert self._engine is not None  # noqa: S101  # for the type checker
        try:
            self._engine.run()
        except Exception:
            logger.critical("The embedded engine ended; no job runs here.", exc_info=True)


def _at_exit(stop: Callable[[], None]) -> None:
    """Have the engine stopped before Python's thread pools are, which async tasks need.

    `atexit` comes after them; the earlier hook is private, and the same since Python 3.9.
    """
    register = getattr(threading, "_register_atexit", atexit.register)
    register(stop)
