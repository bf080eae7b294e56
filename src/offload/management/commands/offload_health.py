"""`manage.py offload_health`: check whether jobs are run; exit with 0 if they are, else with 1."""

from __future__ import annotations

import json
import shlex
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser
from django.db import DatabaseError, InterfaceError, connections
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

from offload.backends.base import get_backend, offload_backends
from offload.checks.migrations import missing_migrations
from offload.management.arguments import (
    add_backend_arguments,
    non_negative_number,
    require_queue,
    resolve_backend,
    resolve_options,
    resolve_store,
)
from offload.management.base import OffloadCommand
from offload.management.database_wait import describe_file
from offload.management.pause_formatting import describe_pause
from offload.store import get_store
from offload.store.errors import explain, migrate_command
from offload.store.queries import (
    MAX_COUNTED_JOBS,
    live_workers,
    oldest_wait,
    runs_jobs,
    unserved_queues,
)
from offload.text import to_terminal_text

if TYPE_CHECKING:
    from offload.models import Worker

MAX_HOSTNAME_CHARS = 255
"""Length of the column in the table of workers."""
MAX_WORKERS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        check: "database", "migrations", "worker" or "queue".
        ok: whether the check passed.
        message: the finding, and how to correct a failure.
    """

    check: str
    ok: bool
    message: str


class Command(OffloadCommand):
    """Check whether jobs are run."""

    help = (
        "Exit with 0 if the database responds, is migrated, a worker is running, and each queue "
        "with jobs to run is served; otherwise with 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--queue", help="Check this queue: whether a worker serves it, and its oldest job.")
        add(
            "--max-age",
            type=non_negative_number,
            metavar="SECONDS",
            help="Fail if a job has been ready for longer than this and has not started.",
        )
        add(
            "--this-host",
            action="store_true",
            help="Check for a worker on this host, or in this container.",
        )
        add("--json", action="store_true", help="Print one JSON document.")
        add_backend_arguments(parser)
        # Without --backend, queues of all backends are checked for jobs that nobody serves.
        parser.set_defaults(backend=None)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        is_any_backend = options["backend"] is None and options["queue"] is None
        options["backend"] = options["backend"] or DEFAULT_TASK_BACKEND_ALIAS
        backend_options = resolve_options(options)
        resolve_store(backend_options)
        if options["queue"] is not None:
            require_queue(resolve_backend(options["backend"]), options["queue"])
        options["backends"] = [options["backend"]]
        if is_any_backend:
            options["backends"] += _other_backends(options["backend"], backend_options.database)
        results = list(_run_checks(backend_options.database, options))
        is_healthy = all(result.ok for result in results)
        if options["json"]:
            document = {
                "healthy": is_healthy,
                "backend": options["backend"],
                "queue_name": options["queue"],
                "checks": [asdict(result) for result in results],
            }
            self.stdout.write(json.dumps(document))
        elif options["verbosity"] > 0:
            self._print(results)
        if not is_healthy:
            sys.exit(1)

    def _print(self, results: list[CheckResult]) -> None:
        for result in results:
            word = "ok" if result.ok else "FAILED"
            self.stdout.write(f"{word:8}{result.check:12}{result.message}")


def _run_checks(using: str, options: dict[str, Any]) -> Iterator[CheckResult]:
    """Run the checks in order; after one fails, skip those that depend on it."""
    try:
        connections[using].ensure_connection()
        message = f"DATABASES[{using!r}]{describe_file(using)} responds."
        yield CheckResult("database", ok=True, message=message)
        migrations = _check_migrations(using)
        yield migrations
        if migrations.ok:
            yield _check_workers(using, options)
            # A container's probe asks about its own worker, whose restart helps no other queue.
            if options["queue"] is None and not options["this_host"]:
                yield from _check_unserved_queues(using, options["backends"])
            yield from _report_pauses(using, options)
            yield _check_queue(using, options)
    except (DatabaseError, InterfaceError) as error:
        connections[using].close()
        problem = str(explain(error, using)).rstrip(".")
        message = f"{problem}. Start the database, or correct DATABASES[{using!r}]."
        yield CheckResult("database", ok=False, message=message)


def _check_migrations(using: str) -> CheckResult:
    missing = missing_migrations(connections[using])
    if not missing:
        return CheckResult("migrations", ok=True, message="All migrations of offload are applied.")
    message = f"Not applied: {', '.join(missing)}. Run: {migrate_command(using)}"
    return CheckResult("migrations", ok=False, message=message)


def _check_workers(using: str, options: dict[str, Any]) -> CheckResult:
    backend, queue = options["backend"], options["queue"]
    workers = live_workers(using, backend, queue)
    served = f"queue {queue!r} of backend {backend!r}" if queue else f"backend {backend!r}"
    if options["this_host"]:
        hostname = socket.gethostname()[:MAX_HOSTNAME_CHARS]
        workers = [worker for worker in workers if worker.hostname == hostname]
        served += f" on this host ({hostname})"  # also one that has only duties
    else:
        workers = [worker for worker in workers if runs_jobs(worker)]
    if workers:
        message = f"Serving {served}: {_format_workers(workers)}."
        message += "".join(map(_describe_held_up, workers))
        message += "".join(map(_describe_load, workers))
        return CheckResult("worker", ok=True, message=message)
    message = f"No worker serves {served}. Start one: {_worker_command(backend, queue)}"
    return CheckResult("worker", ok=False, message=message)


def _other_backends(alias: str, using: str) -> list[str]:
    """Return the other backends whose jobs are in the same database."""
    return [
        backend.alias
        for backend in offload_backends()
        if backend.supports_live and backend.alias != alias and backend.settings.database == using
    ]


def _check_unserved_queues(using: str, backends: list[str]) -> Iterator[CheckResult]:
    """Yield a failure for each queue that has jobs to run, and no worker that serves it."""
    for backend in backends:
        for queue, count in unserved_queues(using, backend).items():
            name = to_terminal_text(repr(queue))
            of_backend = "" if backend == DEFAULT_TASK_BACKEND_ALIAS else f" of backend {backend!r}"
            has = "has 1 job" if count == 1 else f"has {count:,} jobs"
            if count >= MAX_COUNTED_JOBS:
                has = f"has at least {count:,} jobs"
            message = (
                f"Queue {name}{of_backend} {has} to run, and no worker serves it. "
                f"Start one: {_worker_command(backend, queue)}"
            )
            yield CheckResult("worker", ok=False, message=message)


def _report_pauses(using: str, options: dict[str, Any]) -> Iterator[CheckResult]:
    """Yield each paused queue and task, which is no failure: somebody has decided it."""
    for backend in options["backends"]:
        rules = get_store(using).rules(backend)
        for queue, pause in sorted(rules.paused_queues.items()):
            if options["queue"] in {None, queue}:
                name = to_terminal_text(repr(queue))
                message = f"Queue {name} is {describe_pause(pause)}."
                yield CheckResult("queue", ok=True, message=message)
        for path, row in sorted(rules.tasks.items()):
            message = f"Task {to_terminal_text(path)} is {describe_pause(row.pause)}."
            yield CheckResult("task", ok=True, message=message)


def _check_queue(using: str, options: dict[str, Any]) -> CheckResult:
    max_age = options["max_age"]
    age = oldest_wait(using, options["backend"], options["queue"])
    if age is None:
        return CheckResult("queue", ok=True, message="No job is waiting for a worker.")
    shown_age = max(0.0, age)  # below 0 if the clocks of hosts differ
    message = f"The oldest waiting job has been ready for {shown_age:,.1f} s"
    if max_age is None or age <= max_age:
        return CheckResult("queue", ok=True, message=f"{message}.")
    message += (
        f", longer than --max-age {max_age:g} s. Start more workers, raise --processes or "
        "--threads, or check which jobs are running: "
        "python manage.py offload_jobs list --state running"
    )
    return CheckResult("queue", ok=False, message=message)


def _format_workers(workers: list[Worker]) -> str:
    names = ", ".join(map(_format_worker, workers[:MAX_WORKERS_SHOWN]))
    hidden = len(workers) - MAX_WORKERS_SHOWN
    return f"{names} and {hidden} more" if hidden > 0 else names


def _format_worker(worker: Worker) -> str:
    served, *others = worker.queues.split(",")
    queues = ", ".join(filter(None, [served, *others]))
    if not served:
        queues = f"all queues but {queues}" if queues else "all queues"
    return f"{worker} ({to_terminal_text(queues)})"


def _describe_held_up(worker: Worker) -> str:
    """Return a sentence about the jobs of processes that do not respond; nothing without any."""
    if not worker.held_up_jobs:
        return ""
    return (
        f" A child process of {worker} does not respond, as a job holds its interpreter. Running "
        f"there: {worker.held_up_jobs.replace(',', ', ')}. To end a job: "
        "python manage.py offload_jobs cancel ID"
    )


def _describe_load(worker: Worker) -> str:
    """Return a sentence about a worker that the load of its machine slows down."""
    if worker.high_load is None:
        return ""
    return (
        f" {worker} claims only one job a minute, as the load of its machine is above max_load: "
        f"{worker.high_load:.1f}."
    )


def _worker_command(backend: str, queue: str | None) -> str:
    configured = get_backend(backend)
    if configured.messenger is not None:
        options = configured.settings
        application = options.celery_app.rpartition(".")[0] or "offload.celery"
        name = options.celery_queue_prefix + (queue or min(configured.queues, default="default"))
        queues = shlex.quote(to_terminal_text(name))
        return f"celery -A {shlex.quote(application)} worker --queues {queues}"
    command = "python manage.py offload_worker"
    if backend != DEFAULT_TASK_BACKEND_ALIAS:
        command += f" --backend {shlex.quote(backend)}"
    if queue:
        command += f" --queues {shlex.quote(to_terminal_text(queue))}"
    return command
