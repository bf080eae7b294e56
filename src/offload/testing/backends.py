"""Backends that keep jobs in memory, for tests; what they accept and refuse is as in production."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.core.checks import CheckMessage
from django.tasks import Task
from django.utils.asyncio import async_unsafe

from offload.backends.base import OffloadBackend
from offload.backends.database import DatabaseBackend
from offload.exceptions import OffloadError
from offload.lifecycle import JobState
from offload.results import OffloadResult
from offload.tasks import Call
from offload.testing.execution import run_attempt
from offload.testing.memory import MemoryStore
from offload.uuid7 import new_id

if TYPE_CHECKING:
    from offload.store.base import Store

LIMIT = 1000
"""Attempts at one job before it is taken for endless."""


class MemoryBackend(DatabaseBackend):
    """The backend of the database, on a table in memory."""

    supports_live = False

    @property
    def _store(self) -> Store:
        return cast("Store", self.memory)

    @property
    def memory(self) -> MemoryStore:
        """The jobs."""
        return MemoryStore(self.settings.database)

    @async_unsafe("enqueue() blocks, as it does in production: in async code await aenqueue().")
    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult[Any]]:
        return super().enqueue_many(task, calls)

    def wait(self, result_id: str, timeout: float | None) -> None:  # noqa: ARG002
        self._require_end(result_id)

    async def wait_async(self, result_id: str, timeout: float | None) -> None:  # noqa: ARG002, ASYNC109
        self._require_end(result_id)

    def check(self, **kwargs: Any) -> Iterator[CheckMessage]:  # type: ignore[override]
        return OffloadBackend.check(self, **kwargs)

    def _require_end(self, result_id: str) -> None:
        if not self.get_result(result_id).is_finished:
            raise OffloadError(
                f"Waiting for job {result_id} would never end: {type(self).__name__} runs nothing "
                "by itself. Call offload.testing.run_jobs() first."
            )


class RecordingBackend(MemoryBackend):
    """Records jobs and runs none of them; `run_jobs` can run them later.

    TASKS = {"default": {"BACKEND": "offload.testing.RecordingBackend"}}
    """


class ImmediateBackend(MemoryBackend):
    """Runs a job where it is enqueued, with all its attempts, and waits for no time to come.

    TASKS = {"default": {"BACKEND": "offload.testing.ImmediateBackend"}}

    OPTIONS["raise_errors"]: let `enqueue` raise what a task raises that fails for good.
    """

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.options = dict(self.options)
        self.raise_errors = bool(self.options.pop("raise_errors", False))

    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult[Any]]:
        results = super().enqueue_many(task, calls)
        for result in results:
            error = self._run(result.id)
            result.refresh()
            if error is not None and self.raise_errors:
                raise error
        return results

    def retry(self, result_id: str) -> None:
        super().retry(result_id)
        self._run(result_id)

    def _run(self, result_id: str) -> BaseException | None:
        """Run a job until it has ended; return why it failed."""
        memory, worker = self.memory, str(new_id())
        for _ in range(LIMIT):
            job = memory.claim_at_once(UUID(result_id), worker)
            if job is None:
                return None
            outcome, error = run_attempt(job, self._store)
            if not outcome.written:
                memory.finish([(job, outcome)])
            if JobState(outcome.state).is_finished:
                return error
        path = self.get_result(result_id).task.module_path
        raise AssertionError(
            f"{path} did not end in {LIMIT} attempts. Does it raise Snooze each time? Use "
            "RecordingBackend, or run_jobs() on the DatabaseBackend, to run it once."
        )
