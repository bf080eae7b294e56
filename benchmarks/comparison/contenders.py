"""The task queues that are compared, and their configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """One configuration of a contender's workers.

    Attributes:
        label: its name in the tables.
        commands: the arguments of each process, of which the first is a program of the environment.
        backlog: number of jobs to drain, about five seconds of work.
        parallel: number of mixed jobs that run at once; determines how many are enqueued.
    """

    label: str
    commands: tuple[tuple[str, ...], ...]
    backlog: int
    parallel: int = 8


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A task queue on a store.

    Attributes:
        name: its name on the command line and in the tables.
        store: the database or broker that contains its jobs.
        package: the package to install; also the name of its environment.
        module: its module in `contenders/`.
        configs: configurations of its workers; the first runs every stage.
        kinds: no-ops that it can run: `noop` (written with `def`), `anoop` (`async def`) or both.
        mixes: mixed jobs to run: `mixed` (written with `def`), `amixed` (`async def`) or both.
        query: what the mixed jobs query the database with.
        settings: additional environment variables.
        quick: whether it is part of `--quick`.
        has_chords: whether it runs a chord: jobs at once, and one that gets their results.
    """

    name: str
    store: str
    package: str
    module: str
    configs: tuple[WorkerConfig, ...]
    kinds: tuple[str, ...] = ("noop",)
    mixes: tuple[str, ...] = ("mixed",)
    query: str = "the driver"
    settings: Mapping[str, str] = field(default_factory=dict)
    quick: bool = False
    has_chords: bool = False

    @property
    def is_ours(self) -> bool:
        return self.package == "offload"


DJANGO = {"DJANGO_SETTINGS_MODULE": "project.settings"}
ORM = "Django's ORM"


def _django(*arguments: str) -> tuple[str, ...]:
    return ("python", "-m", "django", *arguments)


def _offload(
    label: str, backlog: int, *arguments: str, parallel: int = 8, workers: int = 1
) -> WorkerConfig:
    command = _django("offload_worker", "--verbosity", "0", *arguments)
    commands = (command,) * workers
    return WorkerConfig(label=label, commands=commands, backlog=backlog, parallel=parallel)


def _ours(store: str, *more: WorkerConfig, quick: bool, backlog: int) -> Contender:
    return Contender(
        name=f"offload-{store}",
        store=store,
        package="offload",
        module="django_tasks",
        settings=DJANGO,
        query=ORM,
        kinds=("noop", "anoop"),
        mixes=("mixed", "amixed"),
        quick=quick,
        configs=(
            _offload("default", backlog),
            _offload("1 process x 1 thread", backlog, *_slots(1, 1), parallel=1),
            _offload("2 processes x 1 thread", backlog, *_slots(2, 1), parallel=2),
            _offload("embedded, 1 thread", backlog, *_slots(0, 1), parallel=1),
            *more,
        ),
    )


def _slots(processes: int, threads: int) -> tuple[str, ...]:
    return "--processes", str(processes), "--threads", str(threads)


def _django_tasks_db(store: str) -> Contender:
    command = _django("db_worker", "--no-startup-delay", "--verbosity", "0")
    return Contender(
        name=f"django-tasks-db-{store}",
        store=store,
        package="django-tasks-db",
        module="django_tasks",
        settings=DJANGO,
        query=ORM,
        kinds=("noop", "anoop"),
        configs=(
            WorkerConfig(label="2 workers", commands=(command, command), backlog=4_000, parallel=2),
            WorkerConfig(label="1 worker", commands=(command,), backlog=2_500, parallel=1),
        ),
    )


def _django_ox(store: str) -> Contender:
    command = _django("ox_worker", "--verbosity", "0", "--processes")
    two, one = (*command, "2"), (*command, "1")
    threads = (*two, "--concurrency", "4")
    return Contender(
        name=f"django-ox-{store}",
        store=store,
        package="django-ox",
        module="django_tasks",
        settings=DJANGO,
        query=ORM,
        kinds=("noop", "anoop"),
        configs=(
            WorkerConfig(label="2 processes", commands=(two,), backlog=4_000, parallel=2),
            WorkerConfig(label="2 processes x 4 threads", commands=(threads,), backlog=4_000),
            WorkerConfig(label="1 process", commands=(one,), backlog=3_000, parallel=1),
        ),
    )


def _celery(*arguments: str, app: str = "celery_redis") -> tuple[str, ...]:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "warning")
    return ("python", "-m", "celery", "-A", app, "worker", *quiet, *arguments)


CELERY = Contender(
    name="celery-redis",
    store="redis",
    package="celery",
    module="celery_redis",
    quick=True,
    configs=(
        WorkerConfig(
            label="prefork -c 2",
            commands=(_celery("-P", "prefork", "-c", "2", "--prefetch-multiplier", "64"),),
            backlog=6_000,
            parallel=2,
        ),
        WorkerConfig(
            label="threads -c 8",
            commands=(_celery("-P", "threads", "-c", "8", "--prefetch-multiplier", "16"),),
            backlog=5_000,
        ),
        WorkerConfig(
            label="2 workers -P solo",
            commands=tuple(
                _celery("-P", "solo", "--prefetch-multiplier", "64", "-n", f"w{number}@%h")
                for number in (1, 2)
            ),
            backlog=9_000,
            parallel=2,
        ),
    ),
)


PREFORK = ("-P", "prefork", "-c", "2", "--prefetch-multiplier", "64")


def _celery_django(results: str, broker: str) -> Contender:
    """Celery in a Django project whose database is PostgreSQL."""
    command = _celery(*PREFORK, app="celery_django")
    config = WorkerConfig(label="prefork -c 2", commands=(command,), backlog=5_000, parallel=2)
    return Contender(
        name=f"celery-{results}-{broker}",
        store=f"postgresql+{broker}",
        package="celery-django",
        module="celery_django",
        query=ORM,
        settings={**DJANGO, "BENCH_RESULTS": results},
        configs=(config,),
        has_chords=True,
    )


def _celery_offload(broker: str) -> Contender:
    """Plain Celery with django-offload's result backend."""
    return replace(
        _celery_django("offload://", broker), name=f"celery-offload-{broker}", package="offload"
    )


def _fleet(broker: str) -> Contender:
    """django-offload with Celery's workers."""
    app = "offload.celery"
    duties = _django("offload_worker", "--duties-only", "--verbosity", "0")
    worker = _celery("-P", "prefork", "-c", "2", "-Q", "offload-bench-default", app=app)
    config = WorkerConfig(
        label="prefork -c 2", commands=(worker, duties), backlog=20_000, parallel=2
    )
    return Contender(
        name=f"offload-fleet-{broker}",
        store=f"postgresql+{broker}",
        package="offload",
        module="django_tasks",
        query=ORM,
        settings={**DJANGO, "BENCH_BACKEND": "offload.backends.celery.CeleryBackend"},
        configs=(config,),
        has_chords=True,
    )


def _offload_celery() -> Contender:
    """django-offload's engine, called in Celery's way; it does not use the broker."""
    return Contender(
        name="offload-celery",
        store="postgresql+redis",
        package="offload",
        module="celery_django",
        query=ORM,
        settings=DJANGO,
        configs=(_offload("default", 40_000),),
        has_chords=True,
    )


def _pgqueuer(
    name: str, module: str, *, query: str, quick: bool, settings: Mapping[str, str]
) -> Contender:
    return Contender(
        name=name,
        store="postgresql",
        package="pgqueuer",
        module=module,
        kinds=("anoop",),
        mixes=("amixed",),
        query=query,
        quick=quick,
        settings=settings,
        configs=(
            WorkerConfig(
                label="2 workers, batch 100",
                commands=(("python", "-m", module, "100"),) * 2,
                backlog=120_000,
                parallel=200,
            ),
        ),
    )


PGQUEUER = _pgqueuer(
    "pgqueuer-postgresql", "pgqueuer_postgresql", query="asyncpg", quick=True, settings={}
)
PGQUEUER_DJANGO = _pgqueuer(
    "pgqueuer-django-postgresql", "pgqueuer_django", query=ORM, quick=False, settings=DJANGO
)

PROCRASTINATE_WORKER = (
    "procrastinate",
    "--app",
    "procrastinate_postgresql.app",
    "worker",
    "-c",
    "20",
)
PROCRASTINATE = Contender(
    name="procrastinate-postgresql",
    store="postgresql",
    package="procrastinate",
    module="procrastinate_postgresql",
    kinds=("noop", "anoop"),
    configs=(
        WorkerConfig(
            label="2 workers -c 20",
            commands=(PROCRASTINATE_WORKER,) * 2,
            backlog=5_000,
            parallel=40,
        ),
    ),
)


def _huey(
    name: str, label: str, *, backlog: int, settings: Mapping[str, str], quick: bool
) -> Contender:
    command = ("huey_consumer", "huey_sqlite.huey", "-q", "-n")
    processes = (*command, "-k", "process", "-w", "1")
    threads = (*command, "-k", "thread", "-w", "8")
    return Contender(
        name=name,
        store="sqlite",
        package="huey",
        module="huey_sqlite",
        quick=quick,
        settings=settings,
        configs=(
            WorkerConfig(
                label=f"1 process, {label}", commands=(processes,), backlog=backlog, parallel=1
            ),
            WorkerConfig(label=f"8 threads, {label}", commands=(threads,), backlog=backlog // 3),
        ),
    )


TWO_WORKERS = _offload(
    "2 workers, 1 process x 1 thread", 120_000, *_slots(1, 1), parallel=2, workers=2
)

CONTENDERS = (
    _ours("sqlite", quick=True, backlog=60_000),
    _huey("huey-sqlite", "synchronous FULL", backlog=15_000, settings={}, quick=False),
    _huey(
        "huey-sqlite-nosync",
        "fsync=False",
        backlog=60_000,
        settings={"BENCH_FSYNC": "no"},
        quick=True,
    ),
    _django_ox("sqlite"),
    _django_tasks_db("sqlite"),
    _ours("postgresql", TWO_WORKERS, quick=True, backlog=60_000),
    PGQUEUER,
    PGQUEUER_DJANGO,
    PROCRASTINATE,
    _django_ox("postgresql"),
    _django_tasks_db("postgresql"),
    CELERY,
    _ours("mariadb", TWO_WORKERS, quick=False, backlog=40_000),
)

CELERY_CONTENDERS = (
    _celery_django("redis", "redis"),
    _celery_django("django-db", "redis"),
    _celery_offload("redis"),
    _fleet("redis"),
    _offload_celery(),
    _celery_django("redis", "rabbitmq"),
    _celery_django("django-db", "rabbitmq"),
    _fleet("rabbitmq"),
)
"""Celery in a Django project, and what replaces or uses it: rows and results in PostgreSQL."""
ALL_CONTENDERS = CONTENDERS + CELERY_CONTENDERS
