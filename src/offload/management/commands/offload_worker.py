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
from offload.management.database_wait import wait_for_database
from offload.management.reloader import Reloader
from offload.management.unfinished import describe_unfinished
from offload.results import canonical_id
from offload.store import get_store
from offload.store.records import ClaimedJob
from offload.text import to_terminal_text
from offload.worker.child.project import ProjectError
from offload.worker.child.stop_signals import STOP_SIGNALS
from offload.worker.config import WorkerConfig, make_engine
from offload.worker.engine import Engine
from offload.worker.logs import show_job_lines
from offload.worker.pools.fork_server import fork_server

BYTES_PER_MEBIBYTE = 1024**2
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
        has_changed = False
        try:
            if engine.pool.processes:
                fork_server.start()
            self._stop_at_signals(engine)
            engine.run()
            has_changed = reloader is not None and reloader.has_seen_change
        except KeyboardInterrupt:
            self._is_stopped = True
        except ProjectError as error:
            if reloader is None:
                raise CommandError(str(error)) from error
            self._write(str(error))
            has_changed = True
        if reloader is not None and has_changed and not self._is_stopped:
            self._restart(reloader)

    def _restart(self, reloader: Reloader) -> None:
        """Start this command again once its code can be loaded; return if it is stopped before."""
        self._write("Code changed: restarting.")
        _raise_at_signals()
        with suppress(KeyboardInterrupt):
            reloader.wait_until_loadable(self._write)
            fork_server.stop()
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606

    def _config(self, options: dict[str, Any]) -> WorkerConfig:
        backend = resolve_backend(options["backend"])
        try:
            backend_options = _with_arguments(backend.settings, options)
            get_store(backend_options.database)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        for name in (*options["queues"], *options["exclude_queues"]):
            require_queue(backend, name)
        if backend_options.processes == 0 and (options["max_jobs"] or options["max_memory"]):
            raise CommandError("--max-jobs and --max-memory need at least --processes 1.")
        max_memory = options["max_memory"]
        if max_memory is not None:
            max_memory *= BYTES_PER_MEBIBYTE
        return WorkerConfig(
            backend=backend.alias,
            options=backend_options,
            queues=options["queues"],
            excluded=options["exclude_queues"],
            drain=options["drain"],
            max_jobs=options["max_jobs"],
            max_memory=max_memory,
            shows_logs=options["verbosity"] > 0,
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
    add("--max-jobs", type=at_least_one, help="Restart a child process after N jobs.")
    add(
        "--max-memory",
        type=at_least_one,
        help="Restart a child process when it uses more than N MiB.",
    )


def _with_arguments(backend_options: BackendOptions, arguments: dict[str, Any]) -> BackendOptions:
    """Return the backend's OPTIONS, some overridden by arguments of the command line."""
    names = ("processes", "threads", "async_slots", "shutdown_timeout", "database")
    overrides = {name: arguments[name] for name in names if arguments[name] is not None}
    return replace(backend_options, **overrides)


def _is_reload_enabled(options: dict[str, Any]) -> bool:
    if options["drain"]:
        return False
    if options["reload"] is None:
        return settings.DEBUG
    return bool(options["reload"])


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
    if options.processes:
        plural = "es" if options.processes > 1 else ""
        place = f"{options.processes} process{plural} x {options.threads} threads, "
        place += f"{options.async_slots} async tasks each"
    else:
        place = f"{options.threads} threads of this process, {options.async_slots} async tasks"
    restarts = "when code changes" if reloads else "never automatically"
    return (
        f"django-offload {offload.__version__}, pid {os.getpid()}\n"
        f"  queues    {queues} (backend {config.backend!r})\n"
        f"  database  {options.database!r}\n"
        f"  runs in   {place}\n"
        f"  restarts  {restarts}\n"
        "Stop with Ctrl-C."
    )
