"""`manage.py offload_health`: check whether jobs are run; exit with 0 if they are, else with 1."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, connections

from offload.checks import missing_migrations
from offload.management.arguments import (
    add_backend_arguments,
    non_negative_number,
    require_queue,
    resolve_backend,
    resolve_options,
    resolve_store,
)
from offload.store.errors import explain, migrate_command
from offload.store.queries import live_workers, oldest_wait

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


class Command(BaseCommand):
    """Check whether jobs are run."""

    help = (
        "Exit with 0 if the database responds, is migrated, and a worker is running; "
        "otherwise with 1."
    )
    requires_system_checks = ()
    requires_migrations_checks = False

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

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        backend_options = resolve_options(options)
        resolve_store(backend_options)
        if options["queue"] is not None:
            require_queue(resolve_backend(options["backend"]), options["queue"])
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
        yield CheckResult("database", ok=True, message=f"DATABASES[{using!r}] responds.")
        migrations = _check_migrations(using)
        yield migrations
        if migrations.ok:
            yield _check_workers(using, options)
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
        served += f" on this host ({hostname})"
    if workers:
        message = f"Serving {served}: {_format_workers(workers)}."
        return CheckResult("worker", ok=True, message=message)
    message = f"No worker serves {served}. Start one: {_worker_command(backend, queue)}"
    return CheckResult("worker", ok=False, message=message)


def _check_queue(using: str, options: dict[str, Any]) -> CheckResult:
    max_age = options["max_age"]
    age = oldest_wait(using, options["backend"], options["queue"])
    if age is None:
        return CheckResult("queue", ok=True, message="No job is waiting.")
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
    names = ", ".join(str(worker) for worker in workers[:MAX_WORKERS_SHOWN])
    hidden = len(workers) - MAX_WORKERS_SHOWN
    return f"{names} and {hidden} more" if hidden > 0 else names


def _worker_command(backend: str, queue: str | None) -> str:
    command = "python manage.py offload_worker"
    if backend != "default":
        command += f" --backend {backend}"
    if queue:
        command += f" --queues {queue}"
    return command
