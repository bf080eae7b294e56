"""From settings and choices to an engine."""

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
    """What an engine serves, and with what.

    Attributes:
        backend: alias in TASKS.
        options: the backend's options, changed by what the command line says.
        queues: names of the queues; none for all.
        excluded: names of queues left out.
        drain: end when no job is ready.
        max_jobs: jobs after which a child process is replaced.
        max_memory: bytes of memory above which a child process is replaced.
        shows_logs: whether children print a line for each job's start and end.
    """

    backend: str = "default"
    options: BackendOptions
    queues: Sequence[str] = ()
    excluded: Sequence[str] = ()
    drain: bool = False
    max_jobs: int | None = None
    max_memory: int | None = None
    shows_logs: bool = False


def make_engine(service: WorkerConfig) -> Engine:
    """Return an engine that is ready to run."""
    named = service.queues or sorted(get_backend(service.backend).queues)
    queues = [name for name in named if name not in service.excluded]
    if named and not queues:
        raise ImproperlyConfigured(
            f"No queue is left to serve: {', '.join(named)} without {', '.join(service.excluded)}."
        )
    return Engine(
        backend=service.backend,
        queues=queues,
        excluded=service.excluded,
        options=service.options,
        pool=_pool(service),
        drain=service.drain,
    )


def _pool(service: WorkerConfig) -> Pool:
    options = service.options
    if options.processes == 0:
        return InProcessPool(
            threads=options.threads,
            async_slots=options.async_slots,
            kill_grace_period=options.kill_grace_period,
            using=options.database,
        )
    limits = ChildLimits(
        threads=options.threads,
        async_slots=options.async_slots,
        kill_grace_period=options.kill_grace_period,
        using=options.database,
        max_jobs=service.max_jobs,
        max_memory=service.max_memory,
    )
    return ProcessPool(processes=options.processes, limits=limits, shows_logs=service.shows_logs)
