"""The processes of a Celery worker as threads of this process, without a broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Any

from django.tasks import default_task_backend

from offload.backends.celery.messenger import group_messages

if TYPE_CHECKING:
    from offload.backends.messages import JobMessage
    from offload.worker.fleet.engine import FleetWorker


class FleetInThreads:
    """Processes that get one message after the other, as those of Celery's pool `prefork` do.

    Args:
        processes: how many.
        options: of the backend, where they are not the usual ones.
    """

    def __init__(self, processes: int, **options: Any) -> None:
        self._workers = [_make_worker(options) for _ in range(processes)]

    def run(self, jobs: Iterable[JobMessage]) -> None:
        """Run jobs, of which as many share a message as at the broker; deal out the messages."""
        from offload.worker.fleet.tickets import Ticket  # noqa: PLC0415  # needs the app registry

        tickets = [
            Ticket(queue, is_async=is_async, ids=ids, has_limit=has_limit, may_wait=may_wait)
            for (queue, is_async, _, has_limit, may_wait), ids in group_messages(jobs)
        ]

        def run_all(worker: FleetWorker, tickets: Sequence[Ticket]) -> None:
            for ticket in tickets:
                worker.run(ticket)

        count = len(self._workers)
        threads = [
            Thread(target=run_all, args=(worker, tickets[number::count]))
            for number, worker in enumerate(self._workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """Stop the processes."""
        for worker in self._workers:
            worker.stop()


def _make_worker(changes: Mapping[str, Any]) -> FleetWorker:
    from offload.worker.config import make_in_process_pool  # noqa: PLC0415
    from offload.worker.fleet.engine import FleetEngine, FleetWorker  # noqa: PLC0415
    from offload.worker.fleet.pool import FleetPool  # noqa: PLC0415

    backend: Any = default_task_backend
    options = replace(backend.settings, processes=0, threads=1, **changes)
    pool = make_in_process_pool(options, FleetPool)
    engine = FleetEngine(backend=backend.alias, options=options, pool=pool)
    return FleetWorker(engine)
