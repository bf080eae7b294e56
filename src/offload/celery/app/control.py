"""`app.control`: revokes tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Control:
    """Revokes tasks; `offload_jobs` and `offload_queues` can do more."""

    def revoke(
        self,
        task_id: str | Iterable[str],
        destination: Any = None,
        terminate: bool = False,
        signal: str = "SIGTERM",
        **_: Any,
    ) -> None:
        """Revoke tasks that wait; with `terminate`, stop those that run.

        Args:
            task_id: an id, or several.
            destination, signal: not used.
            terminate: stop running ones.
        """
        from offload.celery.result.async_result import AsyncResult

        for one in [task_id] if isinstance(task_id, str) else task_id:
            AsyncResult(one).revoke(terminate=terminate, signal=signal)

    def inspect(self, *args: Any, **kwargs: Any) -> Any:
        """Raise NotImplementedError: no worker is asked, as jobs and workers are rows.

        Args:
            args, kwargs: not used.
        """
        raise NotImplementedError(
            "app.control.inspect() does not exist here: workers are not asked. manage.py "
            "offload_health tells whether they run, and offload_jobs list what they run."
        )

    def terminate(self, task_id: str | Iterable[str], signal: str = "SIGTERM", **_: Any) -> None:
        """Revoke tasks, and stop those that run."""
        self.revoke(task_id, terminate=True, signal=signal)
