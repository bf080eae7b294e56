"""The engine in a thread of another program, such as the web server."""

from __future__ import annotations

import atexit
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, task_backends

from offload.worker.serve import Service, make_engine

if TYPE_CHECKING:
    from offload.worker.engine import Engine


class EmbeddedEngine:
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
            if self._thread is not None:
                return
            backend: Any = task_backends[self._backend]
            options = replace(backend.settings, processes=0)
            self._engine = make_engine(Service(backend=self._backend, options=options))
            self._thread = threading.Thread(
                target=self._engine.run, name="offload-engine", daemon=True
            )
            self._thread.start()
            atexit.register(self.stop)

    def stop(self) -> None:
        """Stop it in order, and wait until it has stopped."""
        with self._lock:
            if self._engine is None or self._thread is None:
                return
            self._engine.stop()
            self._thread.join()
            self._engine = self._thread = None
        atexit.unregister(self.stop)
