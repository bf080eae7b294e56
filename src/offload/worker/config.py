"""The configuration of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from offload.backends.base import get_backend
from offload.conf import BackendOptions
from offload.worker.engine import Engine
from offload.worker.pools.child_process import ChildLimits
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
        max_jobs: jobs after which a child process is replaced.
        max_memory: bytes of memory above which a child process is replaced.
        shows_logs: whether children print a line when a job starts or finishes.
    """

    backend: str = "default"
    options: BackendOptions
    queues: Sequence[str] = ()
    excluded: Sequence[str] = ()
    drain: bool = False
    max_jobs: int | None = None
    max_memory: int | None = None
    shows_logs: bool = False


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
    if options.processes == 0:
        return InProcessPool(
            threads=options.threads,
            async_slots=options.async_slots,
            async_threads=options.async_threads,
            kill_grace_period=options.kill_grace_period,
            using=options.database,
        )
    limits = ChildLimits(
        threads=options.threads,
        async_slots=options.async_slots,
        async_threads=options.async_threads,
        kill_grace_period=options.kill_grace_period,
        using=options.database,
        lease=options.lease,
        max_jobs=config.max_jobs,
        max_memory=config.max_memory,
    )
    return ProcessPool(processes=options.processes, limits=limits, shows_logs=config.shows_logs)
