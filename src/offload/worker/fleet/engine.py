"""The loop of a worker inside a process of Celery's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from offload.backends.base import get_backend
from offload.worker.engine import Engine
from offload.worker.fleet.pool import FleetPool
from offload.worker.fleet.received_jobs import ReceivedJobs
from offload.worker.fleet.tickets import Ticket

if TYPE_CHECKING:
    from uuid import UUID

    from offload.notifier import Notifier
    from offload.worker.claiming.served_queues import ServedQueues
    from offload.worker.timers import Duty

logger = logging.getLogger("offload.worker")


class FleetEngine(Engine):
    """Runs the jobs of messages; it has only the duties that concern its own jobs.

    Args:
        consumed: the queues of which the process gets messages; empty if that is not known.
        options: as for `Engine`.
    """

    poller: ReceivedJobs
    pool: FleetPool
    on_heartbeat: Callable[[UUID], None] | None = None
    """Called with the id of the worker's row after each heartbeat."""

    def __init__(self, *, consumed: Sequence[str] = (), **options: Any) -> None:
        self._consumed = consumed
        super().__init__(queues=(), **options)

    def _registered_names(self, served: ServedQueues) -> Sequence[str]:  # noqa: ARG002
        return self._consumed

    def _make_poller(self, notifier: Notifier, served: ServedQueues) -> ReceivedJobs:
        received = ReceivedJobs(
            self._store,
            notifier,
            served=served,
            poll_interval=self._options.poll_interval,
            hints=self._hints,
        )
        self.pool.expects_more = lambda: received.expects_jobs
        self.pool.on_last = self.wake
        return received

    def _make_duties(self) -> list[Duty]:
        return [self.poller.rules, self._hints]

    def add(self, ticket: Ticket) -> None:
        """Run the jobs of a message; called from any thread."""
        self.poller.add(ticket)
        self.wake()

    def step(self) -> None:
        super().step()
        self.poller.settle({job.key for job in self.pool.held_jobs()} | self.completer.keys)
        if not self._outage:
            self._offer_late_jobs()

    def _send_heartbeat(self) -> None:
        super()._send_heartbeat()
        if self.on_heartbeat is not None:
            self.on_heartbeat(self.registration.id)

    def _offer_late_jobs(self) -> None:
        late = self.poller.give_up_waiting(self.pool)
        messenger = get_backend(self.registration.backend).messenger if late else None
        if messenger is not None:
            messenger.send(late)


class FleetWorker:
    """The engine of this process, in a thread of its own.

    Args:
        engine: the engine.
    """

    def __init__(self, engine: FleetEngine) -> None:
        self._engine = engine
        self._thread = threading.Thread(target=self._run, name="offload-worker", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it runs jobs."""
        return self._thread.is_alive()

    @property
    def has_abandoned(self) -> bool:
        """Whether code of a job that has ended still runs here, so that the process should exit."""
        return self._engine.pool.abandoned > 0

    def run(self, ticket: Ticket) -> None:
        """Run the jobs of a message that may run; return when their outcomes have been written.

        Raises:
            RuntimeError: if the engine has stopped.
        """
        self._engine.add(ticket)
        while not ticket.done.wait(1.0):
            if not self._thread.is_alive():
                break
        if not self._thread.is_alive() and not ticket.settle():
            raise RuntimeError("The worker of this process has stopped.")

    def stop(self) -> None:
        """Let running jobs finish, and wait until the worker has stopped."""
        if self._thread.is_alive():
            self._engine.stop()
            self._thread.join()

    def _run(self) -> None:
        try:
            self._engine.run()
        except Exception:
            logger.critical("The worker of this process has failed.", exc_info=True)
        finally:
            self._engine.poller.abandon()
