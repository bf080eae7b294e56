"""`app.control`: revokes tasks, and tells what workers do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offload.celery.app.inspect import Inspect


def __getattr__(name: str) -> Any:
    """Import `Inspect` on first use, as its modules need Django's settings."""
    if name != "Inspect":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from offload.celery.app.inspect import Inspect

    return Inspect


class Control:
    """Revokes tasks, and tells what workers do; `offload_jobs` and `offload_queues` can do more."""

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

    def inspect(self, destination: Any = None, **further: Any) -> Inspect:
        """Return what tells which tasks run, and which workers.

        Args:
            destination: names of workers; None for all.
            further: not used.
        """
        from offload.celery.app.inspect import Inspect

        return Inspect(destination, **further)

    def ping(self, destination: Any = None, **_: Any) -> list[dict[str, dict[str, str]]]:
        """Return an answer for each worker that runs.

        Args:
            destination: names of workers; None for all.
        """
        names = [destination] if isinstance(destination, str) else destination
        answers = self.inspect(names).ping() or {}
        return [{name: answer} for name, answer in answers.items()]

    def terminate(self, task_id: str | Iterable[str], signal: str = "SIGTERM", **_: Any) -> None:
        """Revoke tasks, and stop those that run."""
        self.revoke(task_id, terminate=True, signal=signal)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"app.control has no {name}() here: workers get no messages. The commands "
            "offload_queues, offload_limits and offload_jobs, and the admin, do this."
        )
