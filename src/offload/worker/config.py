"""The configuration of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from offload.backends.base import get_backend
from offload.conf import BackendOptions
from offload.worker.engine import Engine
from offload.worker.pools.child_limits import ChildLimits
from offload.worker.pools.child_memory import BYTES_PER_MEBIBYTE
from offload.worker.pools.idle import IdlePool
from offload.worker.pools.in_process import InProcessPool
from offload.worker.pools.processes import ProcessPool

if TYPE_CHECKING:
    from offload.worker.pools.base import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """Which jobs a worker runs, and where.

    Attributes:
        backend: alias in TASKS.
        options: the backend's options, overridden by the command line.
        queues: names of the queues; empty for all.
        excluded: names of queues to leave out.
        drain: stop when no job is ready.
        shows_logs: whether children print a line when a job starts or finishes.
        duties_only: whether it runs no jobs, and only enqueues schedules, promotes, rescues, prunes
            and so on.
    """

    backend: str = "default"
    options: BackendOptions
    queues: Sequence[str] = ()
    excluded: Sequence[str] = ()
    drain: bool = False
    shows_logs: bool = False
    duties_only: bool = False


def make_engine(config: WorkerConfig) -> Engine:
    """Return the loop of a worker, ready to run.

    Raises:
        ImproperlyConfigured: if all queues are excluded.
    """
    named = config.queues or sorted(get_backend(config.backend).queues)
    queues = [name for name in named if name not in config.excluded]
    if named and not queues:
        raise ImproperlyConfigured(
            f"No queue is left to serve: all of {', '.join(named)} are excluded."
        )
    return Engine(
        backend=config.backend,
        queues=queues,
        excluded=config.excluded,
        options=config.options,
        pool=_make_pool(config),
        drain=config.drain,
    )


def _make_pool(config: WorkerConfig) -> Pool:
    options = config.options
    if config.duties_only:
        return make_in_process_pool(options, IdlePool)
    if options.processes == 0:
        return make_in_process_pool(options, InProcessPool)
    max_memory = options.max_memory_per_child
    limits = ChildLimits(
        threads=options.threads,
        async_slots=options.async_slots,
        async_threads=options.async_threads,
        kill_grace_period=options.kill_grace_period,
        using=options.database,
        lease=options.lease,
        max_jobs=options.max_jobs_per_child,
        max_memory=max_memory and max_memory * BYTES_PER_MEBIBYTE,
    )
    return ProcessPool(processes=options.processes, limits=limits, shows_logs=config.shows_logs)


def make_in_process_pool[Kind: InProcessPool](options: BackendOptions, kind: type[Kind]) -> Kind:
    """Return a pool whose jobs run in threads of this process."""
    return kind(
        threads=options.threads,
        async_slots=options.async_slots,
        async_threads=options.async_threads,
        kill_grace_period=options.kill_grace_period,
        using=options.database,
    )
