"""`manage.py offload_worker`: run jobs until a signal stops the worker."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.tasks import task_backends

import offload
from offload.conf import BackendOptions
from offload.management.arguments import (
    add_backend_arguments,
    non_negative_number,
    parse_names,
    require_queue,
    resolve_backend,
    whole_number,
)
from offload.management.database_wait import describe_file, wait_for_database
from offload.management.reloader import Reloader
from offload.management.unfinished import describe_unfinished
from offload.results import canonical_id
from offload.store import get_store
from offload.store.records import ClaimedJob
from offload.text import to_terminal_text
from offload.worker.child.project import ProjectError, load_tasks
from offload.worker.child.stop_signals import STOP_SIGNALS
from offload.worker.config import WorkerConfig, make_engine
from offload.worker.engine import Engine
from offload.worker.logs import show_job_lines
from offload.worker.pools.fork_server import fork_server

PER_CHILD = ("max_jobs_per_child", "max_memory_per_child")
"""Options about child processes."""
MAX_JOBS_SHOWN = 10
"""How many running jobs a stopping worker names."""


class Command(BaseCommand):
    """Run a worker in this process."""

    help = "Run the jobs of this project's queues."
    requires_system_checks = ()
    # The command waits for a database that does not respond, and reports missing migrations.
    requires_migrations_checks = False

    _is_stopped = False
    """Whether a signal has arrived."""

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        names: Any = {"type": parse_names, "default": (), "metavar": "A,B"}
        add("--queues", help="Serve only these queues.", **names)
        add("--exclude-queues", help="Serve all queues except these.", **names)
        add_backend_arguments(parser)
        _add_capacity_arguments(parser)
        add(
            "--shutdown-timeout",
            type=non_negative_number,
            help="Seconds that running jobs have to finish when the worker stops.",
        )
        add(
            "--drain",
            action="store_true",
            help="Exit when no job is left that could run now; with 1 if stopped before.",
        )
        add(
            "--duties-only",
            action="store_true",
            help="Run no jobs: do only what workers do besides, for a fleet of Celery workers.",
        )
        add(
            "--reload",
            action="store_true",
            default=None,
            help="Restart when code changes (default with DEBUG).",
        )
        add(
            "--no-reload",
            action="store_false",
            dest="reload",
            help="Do not restart when code changes.",
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        config = self._config(options)
        verbose = options["verbosity"] > 0
        if verbose:
            show_job_lines()
        engine = self._prepare_engine(config)
        reloader = None
        if _is_reload_enabled(options):
            reloader = Reloader(engine.stop)
            reloader.start()
        if verbose:
            self._write(_banner(config, reloads=reloader is not None))
            seconds = config.options.shutdown_timeout
            engine.on_stopping = lambda jobs: self._write(_stopping(jobs, seconds))
        self._run(engine, reloader)
        if config.drain and not engine.is_drained:
            raise CommandError("Stopped before all jobs had run.")
        if verbose:
            using, backend = config.options.database, config.backend
            text = describe_unfinished(using, backend) if config.drain else "Stopped."
            self._write(text)

    def _run(self, engine: Engine, reloader: Reloader | None) -> None:
        """Run jobs until the worker is stopped, which it also is while the project is loaded."""
        is_loaded = True
        try:
            _load_tasks(engine, needs_all=reloader is not None)
            self._stop_at_signals(engine)
            engine.run()
        except KeyboardInterrupt:
            self._is_stopped = True
        except ProjectError as error:
            if reloader is None:
                raise CommandError(str(error)) from error
            self._write(str(error))
            is_loaded = False
        if reloader is None or self._is_stopped:
            return
        if reloader.has_seen_change or not is_loaded:
            self._restart(reloader, is_loaded=is_loaded)

    def _restart(self, reloader: Reloader, *, is_loaded: bool) -> None:
        """Start this command again once its code can be loaded; return if it is stopped before.

        Args:
            reloader: which knows when code changes.
            is_loaded: whether the code could be loaded before it changed.
        """
        if is_loaded:
            self._write("Code changed: restarting.")
        _raise_at_signals()
        with suppress(KeyboardInterrupt):
            reloader.wait_until_loadable(self._write, is_known_bad=not is_loaded)
            fork_server.stop()
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606

    def _config(self, options: dict[str, Any]) -> WorkerConfig:
        backend = resolve_backend(options["backend"])
        try:
            backend_options = _with_arguments(backend.settings, options)
            if options["duties_only"]:
                backend_options = replace(backend_options, processes=0)
            get_store(backend_options.database)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        for name in (*options["queues"], *options["exclude_queues"]):
            require_queue(backend, name)
        if backend_options.processes == 0 and any(options[name] for name in PER_CHILD):
            raise CommandError(
                "--max-jobs-per-child and --max-memory-per-child need at least --processes 1."
            )
        return WorkerConfig(
            backend=backend.alias,
            options=backend_options,
            queues=options["queues"],
            excluded=options["exclude_queues"],
            drain=options["drain"],
            shows_logs=options["verbosity"] > 0,
            duties_only=options["duties_only"],
        )

    def _prepare_engine(self, config: WorkerConfig) -> Engine:
        """Wait for the database; return an engine."""
        _raise_at_signals()
        try:
            wait_for_database(config.options.database, report=self._write)
            return make_engine(config)
        except KeyboardInterrupt:
            raise CommandError("Stopped while waiting for the database.") from None
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error

    def _stop_at_signals(self, engine: Engine) -> None:
        def stop(_number: int, _frame: object) -> None:
            """Let running jobs finish; at the second signal, do not wait."""
            self._is_stopped = True
            engine.stop()

        for number in STOP_SIGNALS:
            signal.signal(number, stop)
        if hasattr(faulthandler, "register"):
            faulthandler.register(signal.SIGQUIT, all_threads=True)

    def _write(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _add_capacity_arguments(parser: CommandParser) -> None:
    add = parser.add_argument
    at_least_one = whole_number(1)
    add(
        "--processes",
        type=whole_number(0),
        help="Number of child processes; 0 runs tasks in the worker's own process.",
    )
    add("--threads", type=at_least_one, help="Threads per process for tasks written with def.")
    add(
        "--async-slots",
        type=at_least_one,
        help="Tasks written with async def that one process runs at once.",
    )
    add(
        "--max-jobs-per-child",
        type=at_least_one,
        metavar="N",
        help="Replace a child process after N jobs.",
    )
    add(
        "--max-memory-per-child",
        type=at_least_one,
        metavar="MIB",
        help="Replace a child process that uses more than MIB; kill it at twice as much.",
    )
    add(
        "--max-load",
        type=non_negative_number,
        metavar="LOAD",
        help="Claim no jobs while the load average of the machine is above LOAD.",
    )


def _with_arguments(backend_options: BackendOptions, arguments: dict[str, Any]) -> BackendOptions:
    """Return the backend's OPTIONS, some overridden by arguments of the command line."""
    names = (
        *("processes", "threads", "async_slots", "shutdown_timeout", "database"),
        *(*PER_CHILD, "max_load"),
    )
    overrides = {name: arguments[name] for name in names if arguments[name] is not None}
    return replace(backend_options, **overrides)


def _is_reload_enabled(options: dict[str, Any]) -> bool:
    if options["drain"]:
        return False
    if options["reload"] is None:
        return settings.DEBUG
    return bool(options["reload"])


def _load_tasks(engine: Engine, *, needs_all: bool) -> None:
    """Import the tasks where jobs will run.

    Args:
        engine: the worker.
        needs_all: whether no job may run if a `tasks` module cannot be imported.

    Raises:
        ProjectError: if the project cannot be loaded.
    """
    if engine.pool.processes:
        fork_server.start(needs_all_tasks=needs_all)
    elif problem := load_tasks(needs_all=needs_all):
        raise ProjectError(problem)


def _raise_at_signals() -> None:
    """Raise KeyboardInterrupt at SIGINT and SIGTERM."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)


def _stopping(jobs: Sequence[ClaimedJob], seconds: float) -> str:
    plural = "s" if len(jobs) > 1 else ""
    lines = [
        f"  {canonical_id(job.id)}  {to_terminal_text(job.task_path)}"
        for job in jobs[:MAX_JOBS_SHOWN]
    ]
    if len(jobs) > MAX_JOBS_SHOWN:
        lines.append(f"  and {len(jobs) - MAX_JOBS_SHOWN} more")
    return "\n".join(
        [
            f"Stopping. {len(jobs)} running job{plural} may go on for {seconds:g} s:",
            *lines,
            "Press Ctrl-C again to stop at once: jobs that are cut off start over, or fail if they "
            "may run at most once.",
        ]
    )


def _banner(config: WorkerConfig, *, reloads: bool) -> str:
    options = config.options
    queues = ", ".join(config.queues or sorted(task_backends[config.backend].queues)) or "all"
    if config.excluded:
        queues += f" except {', '.join(config.excluded)}"
    if config.duties_only:
        place = "other workers; this one has duties only"
    elif options.processes:
        plural = "es" if options.processes > 1 else ""
        place = f"{options.processes} process{plural} x {options.threads} threads, "
        place += f"{options.async_slots} async tasks each"
    else:
        place = f"{options.threads} threads of this process, {options.async_slots} async tasks"
    restarts = "when code changes" if reloads else "never automatically"
    return (
        f"django-offload {offload.__version__}, pid {os.getpid()}\n"
        f"  queues    {queues} (backend {config.backend!r})\n"
        f"  database  {options.database!r}{describe_file(options.database)}\n"
        f"  runs in   {place}\n"
        f"{_limits_line(options)}"
        f"  restarts  {restarts}\n"
        "Stop with Ctrl-C."
    )


def _limits_line(options: BackendOptions) -> str:
    """Return the line about the limits of child processes and of the load; empty without any."""
    limits = []
    if options.processes and options.max_jobs_per_child is not None:
        limits.append(f"{options.max_jobs_per_child:,} jobs per process")
    if options.processes and options.max_memory_per_child is not None:
        limits.append(f"{options.max_memory_per_child:,} MiB per process")
    if options.max_load is not None:
        limits.append(f"load {options.max_load:g}")
    return f"  at most   {', '.join(limits)}\n" if limits else ""
