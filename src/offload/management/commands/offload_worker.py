"""`manage.py offload_worker`: run jobs until a signal stops the worker."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
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
from offload.store import get_store
from offload.worker.config import WorkerConfig, make_engine
from offload.worker.engine import Engine
from offload.worker.logs import show_job_lines

BYTES_PER_MEBIBYTE = 1024**2


class Command(BaseCommand):
    """Run a worker in this process."""

    help = "Run the jobs of this project's queues."
    requires_system_checks = ()
    # The command waits for a database that does not respond, and reports missing migrations.
    requires_migrations_checks = False

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
        if verbose:
            self._write(_banner(config, reloads=reloader is not None))
        if reloader is not None:
            reloader.start()
        engine.run()
        if reloader is not None and reloader.has_seen_change:
            self._write("Code changed: restarting.")
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
        if config.drain and not engine.is_drained:
            raise CommandError("Stopped before all jobs had run.")
        if verbose:
            using, backend = config.options.database, config.backend
            text = describe_unfinished(using, backend) if config.drain else "Stopped."
            self._write(text)

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
        """Wait for the database; return an engine that SIGINT and SIGTERM stop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            wait_for_database(config.options.database, report=self._write)
            engine = make_engine(config)
        except KeyboardInterrupt:
            raise CommandError("Stopped while waiting for the database.") from None
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        _handle_signals(engine.stop)
        return engine

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


def _handle_signals(stop: Callable[[], None]) -> None:
    """Call `stop` at each signal: the first lets running jobs finish, the second does not wait."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop())
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGQUIT, all_threads=True)


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
