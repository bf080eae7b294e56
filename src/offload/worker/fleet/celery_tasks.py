"""The Celery task that runs jobs, and the worker in each process of Celery's workers.

Celery imports this module in its workers only.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from offload.backends.base import get_backend, offload_backends
from offload.backends.celery.application import RUN, shared_task, signals
from offload.backends.celery.messenger import flush_all
from offload.worker.child.project import import_tasks
from offload.worker.config import make_in_process_pool
from offload.worker.fleet.engine import FleetEngine, FleetWorker
from offload.worker.fleet.held_ring import HeldRing
from offload.worker.fleet.pool import FleetPool
from offload.worker.fleet.tickets import Ticket
from offload.worker.fleet.warden import Warden

ABANDONED = "A job did not stop when interrupted: its process is replaced."

_lock = threading.Lock()
_workers: dict[str, FleetWorker] = {}
"""The workers of this process, by the alias of their backend."""
_app: Any = None
"""The Celery application of the worker."""
_threads = 1
"""How many jobs of sync tasks run at once in each process."""
_warden: Warden | None = None
"""The warden of the parent process; child processes inherit it to report to the parent."""
_is_child = False
"""Whether this process is one of Celery's child processes."""


def run(
    backend: str,
    queue_name: str,
    is_async: bool,  # noqa: FBT001  # as the message has it
    ids: Sequence[str],
    has_limit: bool = False,  # noqa: FBT001, FBT002
    may_wait: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Run the jobs of a message that may run now."""
    ticket = Ticket(queue_name, is_async=is_async, ids=ids, has_limit=has_limit, may_wait=may_wait)
    worker = _worker(backend)
    worker.run(ticket)
    if _is_child and worker.has_abandoned:
        _stop()
        raise SystemExit(ABANDONED)


def _worker(alias: str) -> FleetWorker:
    with _lock:
        worker = _workers.get(alias)
        if worker is None or not worker.is_running:
            worker = _workers[alias] = FleetWorker(_make_engine(alias))
        return worker


def _make_engine(alias: str) -> FleetEngine:
    options = replace(get_backend(alias).settings, processes=0, threads=_threads)
    pool = make_in_process_pool(options, FleetPool)
    engine = FleetEngine(backend=alias, consumed=_consumed(alias), options=options, pool=pool)
    if _is_child and _warden is not None:
        pool.ring = HeldRing()
        engine.on_heartbeat = partial(_warden.announce, alias, pool.ring.descriptor)
    return engine


def _consumed(alias: str) -> list[str]:
    """Return the queues of a backend of which this Celery worker gets messages."""
    prefix = get_backend(alias).settings.celery_queue_prefix
    names = () if _app is None else _app.amqp.queues.consume_from
    return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _start_workers() -> None:
    """Start the workers of this process before their first message, so that health checks see them.

    Celery's workers may also have queues of other tasks only.
    """
    for backend in offload_backends():
        queues = backend.queues
        if backend.messenger is None:
            continue
        if any(name in queues or not queues for name in _consumed(backend.alias)):
            _worker(backend.alias)


def _prepare(instance: Any, **_: Any) -> None:
    """Load the tasks once for all processes, and remember how many jobs each runs at once."""
    global _app, _threads, _warden  # noqa: PLW0603  # Celery has one worker in a process
    _app = instance.app
    pool = instance.pool_cls if isinstance(instance.pool_cls, str) else instance.pool_cls.__module__
    if "gevent" in pool or "eventlet" in pool:
        # Celery would only log another exception, and start the worker.
        raise SystemExit(
            "Jobs of django-offload run in Celery's pools prefork, threads and solo, not in "
            f"{pool}: write the tasks with async def, of which each process runs many at once."
        )
    if "thread" in pool:
        _threads = max(1, int(instance.concurrency or 1))
    elif "prefork" in pool:
        _warden = Warden()
    try:
        import_tasks()
    except Exception as error:
        raise SystemExit(f"The tasks of the project cannot be imported: {error!r}") from error


def _start_child(**_: Any) -> None:
    """Forget the workers of the process from which this one was forked."""
    global _is_child  # noqa: PLW0603
    _is_child = True
    _workers.clear()
    _start_workers()


def _start_parent(**_: Any) -> None:
    if _warden is not None:
        _warden.start()
    else:
        _start_workers()


def _stop(**_: Any) -> None:
    """Stop the workers of this process, which then delete their rows."""
    for worker in list(_workers.values()):
        worker.stop()
    _workers.clear()
    if _is_child:
        flush_all()  # billiard ends a child without calling what atexit has registered
    elif _warden is not None:
        _warden.stop()


# No decorators, as Celery has no types.
shared_task(name=RUN, acks_late=True, ignore_result=True, typing=False)(run)
signals.celeryd_after_setup.connect(_prepare, weak=False)
signals.worker_ready.connect(_start_parent, weak=False)
signals.worker_process_init.connect(_start_child, weak=False)
signals.worker_process_shutdown.connect(_stop, weak=False)
signals.worker_shutdown.connect(_stop, weak=False)
