"""Who is measured, and in which configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Workers:
    """One configuration of a contender's workers.

    Attributes:
        label: what the table says.
        commands: a list of arguments per process; the first is found in the environment.
        backlog: jobs that are drained, about five seconds' work.
        parallel: how many mixed jobs run at once, which tells how many to queue.
    """

    label: str
    commands: tuple[tuple[str, ...], ...]
    backlog: int
    parallel: int = 8


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A task queue on a store.

    Attributes:
        name: how the command line calls it.
        store: where the jobs are.
        package: what is installed, also the name of its environment.
        module: in `contenders/`.
        workers: configurations, the first of which gets every stand.
        kinds: no-ops it can run: written with `def`, `async def` or both.
        mixes: mixed jobs that it is given: `mixed`, `amixed` (written with `async def`) or both.
        settings: more environment variables.
        quick: whether `--quick` measures it.
    """

    name: str
    store: str
    package: str
    module: str
    workers: tuple[Workers, ...]
    kinds: tuple[str, ...] = ("noop",)
    mixes: tuple[str, ...] = ("mixed",)
    settings: Mapping[str, str] = field(default_factory=dict)
    quick: bool = False

    @property
    def is_ours(self) -> bool:
        return self.package == "offload"


DJANGO = {"DJANGO_SETTINGS_MODULE": "project.settings"}


def _django(*arguments: str) -> tuple[str, ...]:
    return ("python", "-m", "django", *arguments)


def _offload(
    label: str, backlog: int, *arguments: str, parallel: int = 8, workers: int = 1
) -> Workers:
    command = _django("offload_worker", "--verbosity", "0", *arguments)
    commands = (command,) * workers
    return Workers(label=label, commands=commands, backlog=backlog, parallel=parallel)


def _ours(store: str, *more: Workers, quick: bool, backlog: int) -> Contender:
    return Contender(
        name=f"offload-{store}",
        store=store,
        package="offload",
        module="django_tasks",
        settings=DJANGO,
        kinds=("noop", "anoop"),
        mixes=("mixed", "amixed"),
        quick=quick,
        workers=(
            _offload("default", backlog),
            _offload("1 process x 1 thread", backlog, *_places(1, 1), parallel=1),
            _offload("2 processes x 1 thread", backlog, *_places(2, 1), parallel=2),
            _offload("embedded, 1 thread", backlog, *_places(0, 1), parallel=1),
            *more,
        ),
    )


def _places(processes: int, threads: int) -> tuple[str, ...]:
    return "--processes", str(processes), "--threads", str(threads)


def _django_tasks_db(store: str) -> Contender:
    command = _django("db_worker", "--no-startup-delay", "--verbosity", "0")
    return Contender(
        name=f"django-tasks-db-{store}",
        store=store,
        package="django-tasks-db",
        module="django_tasks",
        settings=DJANGO,
        kinds=("noop", "anoop"),
        workers=(
            Workers(label="2 workers", commands=(command, command), backlog=4_000, parallel=2),
            Workers(label="1 worker", commands=(command,), backlog=2_500, parallel=1),
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
        kinds=("noop", "anoop"),
        workers=(
            Workers(label="2 processes", commands=(two,), backlog=4_000, parallel=2),
            Workers(label="2 processes x 4 threads", commands=(threads,), backlog=4_000),
            Workers(label="1 process", commands=(one,), backlog=3_000, parallel=1),
        ),
    )


def _celery(*arguments: str) -> tuple[str, ...]:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "warning")
    return ("celery", "-A", "celery_redis", "worker", *quiet, *arguments)


CELERY = Contender(
    name="celery-redis",
    store="redis",
    package="celery",
    module="celery_redis",
    quick=True,
    workers=(
        Workers(
            label="prefork -c 2",
            commands=(_celery("-P", "prefork", "-c", "2", "--prefetch-multiplier", "64"),),
            backlog=6_000,
            parallel=2,
        ),
        Workers(
            label="threads -c 8",
            commands=(_celery("-P", "threads", "-c", "8", "--prefetch-multiplier", "16"),),
            backlog=5_000,
        ),
        Workers(
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

PGQUEUER = Contender(
    name="pgqueuer-postgresql",
    store="postgresql",
    package="pgqueuer",
    module="pgqueuer_postgresql",
    kinds=("anoop",),
    mixes=("amixed",),
    quick=True,
    workers=(
        Workers(
            label="2 workers, batch 100",
            commands=(("python", "-m", "pgqueuer_postgresql", "100"),) * 2,
            backlog=120_000,
            parallel=200,
        ),
    ),
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
    workers=(
        Workers(
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
        workers=(
            Workers(
                label=f"1 process, {label}", commands=(processes,), backlog=backlog, parallel=1
            ),
            Workers(label=f"8 threads, {label}", commands=(threads,), backlog=backlog // 3),
        ),
    )


TWO_WORKERS = _offload(
    "2 workers, 1 process x 1 thread", 120_000, *_places(1, 1), parallel=2, workers=2
)

LINEUP = (
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
    PROCRASTINATE,
    _django_ox("postgresql"),
    _django_tasks_db("postgresql"),
    CELERY,
    _ours("mariadb", TWO_WORKERS, quick=False, backlog=40_000),
)
