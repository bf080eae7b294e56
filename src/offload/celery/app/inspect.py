"""`app.control.inspect()`: what workers do, as their rows and those of their jobs tell it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from offload.backends.database import DatabaseBackend
from offload.backends.rows import result_from_row
from offload.celery.encoding.arguments import decode_call
from offload.celery.result.snapshots import results_backend
from offload.celery.runs.job_function import task_of_job, was_redelivered
from offload.lifecycle import JobState
from offload.store.queries import JobFilter, list_jobs, live_workers

if TYPE_CHECKING:
    from offload.models import Job, Worker

MAX_TASKS = 1000
"""How many tasks `active` and `scheduled` return at most."""
SCHEDULED = "database"
"""What has the tasks of `scheduled` in place of a worker: any that serves their queue runs them."""


class Inspect:
    """What workers do. No worker is asked: the answers are as old as their last exchange.

    Args:
        destination: names of workers; None for all. With the name of one as text, each answer is
            that of this worker alone, or None without it.
        timeout, further: not used.
    """

    def __init__(
        self,
        destination: str | Iterable[str] | None = None,
        timeout: float = 1.0,
        **further: Any,
    ) -> None:
        self._only = destination if isinstance(destination, str) else None
        self._names = {destination} if isinstance(destination, str) else destination

    def ping(self, destination: Any = None) -> Any:
        """Return an answer for each worker that runs; None without one.

        Args:
            destination: not used; pass it to `inspect`.
        """
        return self._answer({name: {"ok": "pong"} for name in self._workers()})

    def active(self, safe: Any = None) -> Any:
        """Return the running tasks of each worker, up to 1,000; None without a worker.

        Tasks that a worker has claimed and not started yet are among them.

        Args:
            safe: not used.
        """
        workers = self._workers()
        tasks: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
        names: dict[Any, str] = {worker.pk: name for name, worker in workers.items()}
        for job in self._jobs(JobState.RUNNING, frozenset(names)) if names else ():
            tasks[job.worker].append(_describe(job, names[job.worker]))
        return self._answer({name: tasks[worker.pk] for name, worker in workers.items()})

    def reserved(self, safe: Any = None) -> Any:
        """Return no task for each worker: what it has claimed is in `active`; None without one.

        Args:
            safe: not used.
        """
        return self._answer({name: [] for name in self._workers()})

    def scheduled(self, safe: Any = None) -> Any:
        """Return the tasks that wait for their time, up to 1,000, the next one first.

        No worker has them, so their key is "database", and each worker's list is that of all.

        Args:
            safe: not used.
        """
        waiting = [
            {
                "eta": _as_text(job.run_after),
                "priority": job.priority // 10,
                "request": _describe(job, None),
            }
            for job in self._jobs(JobState.SCHEDULED)
        ]
        return {SCHEDULED: waiting} if self._only is None else waiting

    def stats(self) -> Any:
        """Return process id, age in seconds and size of each worker; None without one."""
        stats = {
            name: {
                "pid": worker.pid,
                "uptime": _age(worker.started_at),
                "pool": {
                    "max-concurrency": max(worker.processes, 1) * worker.threads,
                    "threads": worker.threads,
                },
            }
            for name, worker in self._workers().items()
        }
        return self._answer(stats)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"app.control.inspect() has no {name}() here: it has active, scheduled, reserved, "
            "stats and ping. app.tasks has the tasks of this process, and the commands "
            "offload_health, offload_queues and offload_jobs show the rest."
        )

    def _answer(self, by_name: dict[str, Any]) -> Any:
        """Return the answers of workers by their names, or that of the only one that was asked."""
        return by_name.get(self._only) if self._only is not None else by_name or None

    def _workers(self) -> dict[str, Worker]:
        """Return the workers that run, by name."""
        backend = results_backend()
        if not isinstance(backend, DatabaseBackend):
            return {}
        workers = live_workers(backend.settings.database, backend.alias)
        named = {f"offload@{worker.hostname}:{worker.pid}": worker for worker in workers}
        if self._names is None:
            return named
        return {name: worker for name, worker in named.items() if name in self._names}

    @staticmethod
    def _jobs(state: JobState, workers: frozenset[UUID] | None = None) -> list[Job]:
        backend = results_backend()
        if not isinstance(backend, DatabaseBackend):
            return []
        job_filter = JobFilter(backend=backend.alias, state=state, workers=workers)
        return list_jobs(backend.settings.database, job_filter, limit=MAX_TASKS)


def _describe(job: Job, worker: str | None) -> dict[str, Any]:
    """Return what Celery tells of a task."""
    result = result_from_row(job, ())  # the failed attempts of each job would be a query
    args, kwargs, extra = decode_call(result.args, result.kwargs)
    task = task_of_job(result.task)
    name = extra.get("task") or getattr(task, "name", job.task_path)
    started = job.last_attempted_at
    return {
        "id": extra.get("id") or str(job.pk),
        "name": name,
        "type": name,
        "args": list(args),
        "kwargs": kwargs,
        "hostname": worker,
        "time_start": None if started is None else started.timestamp(),
        "acknowledged": False,
        "delivery_info": {
            "exchange": "",
            "routing_key": job.queue_name,
            "priority": job.priority // 10,
            "redelivered": was_redelivered(job, extra),
        },
    }


def _as_text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _age(moment: datetime | None) -> int | None:
    return None if moment is None else round((datetime.now(UTC) - moment).total_seconds())
