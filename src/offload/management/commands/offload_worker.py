"""`manage.py offload_worker`: run an engine until it is told to stop."""

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
    require_queue,
    resolve_backend,
    whole_number,
)
from offload.management.database_wait import wait_for_database
from offload.management.reloader import Reloader
from offload.store import get_store
from offload.worker.config import WorkerConfig, make_engine
from offload.worker.engine import Engine
from offload.worker.logs import show_job_lines

MEBIBYTE = 1024**2


class Command(BaseCommand):
    """Run an engine in this process."""

    help = "Run the jobs of this project's queues."
    requires_system_checks = ()
    # It waits for a database that does not answer yet, and says itself what is missing.
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--queues", type=_names, default=(), metavar="A,B", help="Serve only these queues.")
        add("--exclude-queues", type=_names, default=(), metavar="A,B", help="Leave these out.")
        add(
            "--processes",
            type=whole_number(0),
            help="Child processes; 0 runs tasks in this process.",
        )
        add(
            "--threads",
            type=whole_number(1),
            help="Threads per process for tasks written with def.",
        )
        add("--async-slots", type=whole_number(1), help="Tasks written with async def at once.")
        add_backend_arguments(parser)
        add("--shutdown-timeout", type=float, help="Seconds that running jobs have at a stop.")
        add("--drain", action="store_true", help="Exit when no job is ready.")
        add("--max-jobs", type=whole_number(1), help="Replace a child process after so many jobs.")
        add("--max-memory", type=whole_number(1), help="Replace a child process above so many MiB.")
        add(
            "--reload",
            action="store_true",
            default=None,
            help="Restart when code changes (default with DEBUG).",
        )
        add("--no-reload", action="store_false", dest="reload", help="Do not.")

    def handle(self, **choices: Any) -> None:
        service = self._service(choices)
        verbose = choices["verbosity"] > 0
        if verbose:
            show_job_lines()
        engine = self._engine(service)
        reloads = choices["reload"] if choices["reload"] is not None else settings.DEBUG
        reloader = Reloader(engine.stop) if reloads and not service.drain else None
        if verbose:
            self._tell(_banner(service, reloads=reloader is not None))
        if reloader is not None:
            reloader.start()
        engine.run()
        if reloader is not None and reloader.has_seen_change:
            self._tell("Code changed: starting again.")
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
        if verbose:
            self._tell("Stopped.")

    def _engine(self, service: WorkerConfig) -> Engine:
        """Return an engine whose database answers, and that listens to signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            wait_for_database(service.options.database, tell=self._tell)
            engine = make_engine(service)
        except KeyboardInterrupt:
            raise CommandError("Stopped while the database did not answer.") from None
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        self._listen_to_signals(engine.stop)
        return engine

    def _service(self, choices: dict[str, Any]) -> WorkerConfig:
        backend = resolve_backend(choices["backend"])
        try:
            options = _options(backend.settings, choices)
            get_store(options.database)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        for name in (*choices["queues"], *choices["exclude_queues"]):
            require_queue(backend, name)
        if options.processes == 0 and (choices["max_jobs"] or choices["max_memory"]):
            raise CommandError("--max-jobs and --max-memory need --processes of at least 1.")
        return WorkerConfig(
            backend=backend.alias,
            options=options,
            queues=choices["queues"],
            excluded=choices["exclude_queues"],
            drain=choices["drain"],
            max_jobs=choices["max_jobs"],
            max_memory=choices["max_memory"] and choices["max_memory"] * MEBIBYTE,
            shows_logs=choices["verbosity"] > 0,
        )

    def _listen_to_signals(self, stop: Callable[[], None]) -> None:
        """Stop in order at the first signal, at once at the second; the handler only says so."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop())
        if hasattr(faulthandler, "register"):
            faulthandler.register(signal.SIGQUIT, all_threads=True)

    def _tell(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _options(options: BackendOptions, choices: dict[str, Any]) -> BackendOptions:
    """Return the backend's options as the command line changes them."""
    names = ("processes", "threads", "async_slots", "shutdown_timeout", "database")
    return replace(options, **{n: choices[n] for n in names if choices[n] is not None})


def _banner(service: WorkerConfig, *, reloads: bool) -> str:
    options = service.options
    queues = ", ".join(service.queues or sorted(task_backends[service.backend].queues)) or "all"
    if service.excluded:
        queues += f" without {', '.join(service.excluded)}"
    place = (
        f"{options.processes} processes x {options.threads} threads"
        if options.processes
        else f"{options.threads} threads of this process"
    )
    return (
        f"django-offload {offload.__version__}, pid {os.getpid()}\n"
        f"  queues    {queues} (backend {service.backend!r})\n"
        f"  database  {options.database!r}\n"
        f"  runs in   {place}, {options.async_slots} async tasks each\n"
        f"  restarts  {'when code changes' if reloads else 'never by itself'}\n"
        "Stop with Ctrl-C."
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
