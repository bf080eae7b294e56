"""`manage.py offload_health`: are jobs being run? The exit code says so: 0 yes, 1 no."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: database, migrations, engine or queue.
        ok: whether it is as it should be.
        message: what is the case, and what to do if it is not as it should be.
    """

    check: str
    ok: bool
    message: str


class Command(BaseCommand):
    """Tell whether jobs are being run."""

    help = "Exit with 0 if the database answers, is migrated, and an engine is alive; else with 1."
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--queue", help="Ask for an engine that serves this queue, and for its oldest job.")
        add(
            "--max-age",
            type=non_negative_number,
            metavar="SECONDS",
            help="Fail if a job could have run for longer and was not begun.",
        )
        add(
            "--this-host",
            action="store_true",
            help="Ask for an engine on this host, or in this container.",
        )
        add("--json", action="store_true", help="Print one JSON document.")
        add_backend_arguments(parser)

    def handle(self, **choices: Any) -> None:
        options = resolve_options(choices)
        resolve_store(options)
        if choices["queue"] is not None:
            require_queue(resolve_backend(choices["backend"]), choices["queue"])
        findings = list(_look(options.database, choices))
        healthy = all(finding.ok for finding in findings)
        if choices["json"]:
            document = {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}
            self.stdout.write(json.dumps(document))
        elif choices["verbosity"] > 0:
            for finding in findings:
                word = "ok" if finding.ok else "FAILED"
                self.stdout.write(f"{word:8}{finding.check:12}{finding.message}")
        if not healthy:
            sys.exit(1)


def _look(using: str, choices: dict[str, Any]) -> Iterator[Finding]:
    """Check one thing after the other; what needs one that failed is left out."""
    try:
        connections[using].ensure_connection()
        yield Finding("database", ok=True, message=f"DATABASES[{using!r}] answers.")
        migrations = _migrations(using)
        yield migrations
        if migrations.ok:
            yield _engines(using, choices)
            yield _queue(using, choices)
    except (DatabaseError, InterfaceError) as error:
        connections[using].close()
        problem = str(explain(error, using)).rstrip(".")
        message = f"{problem}. Start the database, or correct DATABASES[{using!r}]."
        yield Finding("database", ok=False, message=message)


def _migrations(using: str) -> Finding:
    missing = missing_migrations(connections[using])
    if not missing:
        return Finding("migrations", ok=True, message="All migrations of offload are applied.")
    message = f"Not applied: {', '.join(missing)}. Run: {migrate_command(using)}"
    return Finding("migrations", ok=False, message=message)


def _engines(using: str, choices: dict[str, Any]) -> Finding:
    backend, queue = choices["backend"], choices["queue"]
    engines = live_workers(using, backend, queue)
    where = ""
    if choices["this_host"]:
        host = socket.gethostname()[:255]
        engines = [engine for engine in engines if engine.hostname == host]
        where = f" on this host ({host})"
    served = f"queue {queue!r} of backend {backend!r}" if queue else f"backend {backend!r}"
    if engines:
        names = ", ".join(str(engine) for engine in engines[:5])
        more = f" and {len(engines) - 5} more" if len(engines) > 5 else ""
        message = f"{served} is served{where} by {names}{more}."
        return Finding("engine", ok=True, message=message[0].upper() + message[1:])
    command = "python manage.py offload_worker"
    command += "" if backend == "default" else f" --backend {backend}"
    command += f" --queues {queue}" if queue else ""
    message = f"No engine serves {served}{where}. Start one: {command}"
    return Finding("engine", ok=False, message=message)


def _queue(using: str, choices: dict[str, Any]) -> Finding:
    longest = choices["max_age"]
    age = oldest_wait(using, choices["backend"], choices["queue"])
    if age is None:
        return Finding("queue", ok=True, message="No job waits to be run.")
    message = f"The oldest waiting job could have run for {max(0.0, age):,.1f} s"
    if longest is None or age <= longest:
        return Finding("queue", ok=True, message=f"{message}.")
    message += (
        f", longer than --max-age {longest:g} s. Start more engines or give them more "
        "--processes or --threads, and look what they run: "
        "python manage.py offload_jobs list --state running"
    )
    return Finding("queue", ok=False, message=message)
