"""The checks that Django runs: which of them belong to the settings, and which to a server."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.core.checks import Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connections

from offload.backends.base import offload_backends
from offload.checks import limits, mysql, postgresql, schedules, sqlite
from offload.checks.celery_results import check_celery_results
from offload.checks.commands import check_commands, check_ready_made
from offload.checks.messages import Messages
from offload.checks.middleware import check_middleware
from offload.checks.migrations import check_migrations, is_migrate, missing_migrations
from offload.checks.pools import check_pools
from offload.checks.unique_jobs import check_unique_jobs
from offload.schedules.in_code import declared_schedules, problems
from offload.store import get_store
from offload.store.errors import explain
from offload.task_limits import defined_limits
from offload.task_unique import defined_unique_tasks
from offload.worker.child.project import CHECKS_OF_TASKS

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


@register("offload")
def check_settings(**_kwargs: Any) -> Messages:
    """Check the settings of each database that stores jobs, without connecting."""
    for connection in _connections():
        if connection.vendor == "sqlite":
            yield from sqlite.check_version(sqlite3.sqlite_version_info)
            yield from sqlite.check_file(connection)
            yield from sqlite.check_wal(connection)
            yield from sqlite.check_transaction_mode(connection)
            yield from sqlite.check_timeout(connection)
        if connection.vendor == "mysql":
            yield from mysql.check_isolation_setting(connection)
    yield from check_pools()
    yield from check_commands()
    yield from check_celery_results()


@register(Tags.database)
def check_databases(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> Messages:
    """Check each server that stores jobs and is among the databases to check."""
    for connection in _connections():
        if connection.alias in (databases or ()):
            try:
                yield from _check_server(connection)
            except (DatabaseError, InterfaceError) as error:
                problem = str(explain(error, connection.alias))
                hint = "Start the server, or correct DATABASES."
                yield Error(problem, hint=hint, id="offload.E011")


@register("offload")
def check_live(**_kwargs: Any) -> Messages:
    """Check the settings that decide who may see jobs in the browser."""
    yield from check_middleware()


@register("offload", CHECKS_OF_TASKS)
def check_tasks(**_kwargs: Any) -> Messages:
    """Check the limits of the tasks, and what is unique about their jobs."""
    limits.load_tasks()
    if "offload.celery" in sys.modules:  # its tasks are made when they are first needed
        from offload.celery.checks import check_tasks as check_celery_tasks  # noqa: PLC0415

        yield from check_celery_tasks()
    yield from limits.check_limits(defined_limits())
    yield from check_unique_jobs(defined_unique_tasks())


@register("offload")
def check_schedules(**_kwargs: Any) -> Messages:
    """Check the schedules; an error of one stops no worker, and no `migrate`."""
    limits.load_tasks()
    errors = (*schedules.check_declared(problems()), *check_ready_made(declared_schedules()))
    yield from schedules.as_warnings(errors) if is_migrate() else errors


@register("offload")
def check_mail(**_kwargs: Any) -> Messages:
    """Check the mailers that enqueue email."""
    from offload.mail import checks  # noqa: PLC0415  # only commands that check need the package

    yield from checks.check_mailers()
    yield from checks.check_error_reports()


def _connections() -> list[BaseDatabaseWrapper]:
    """Return the databases in which backends store jobs.

    A backend with wrong options is left out, because its own check reports them.
    """
    aliases: dict[str, None] = {}
    for backend in offload_backends():
        try:
            if backend.supports_live:
                aliases[get_store(backend.settings.database).using] = None
        except ImproperlyConfigured:
            continue
    return [connections[alias] for alias in aliases]


def _check_server(connection: BaseDatabaseWrapper) -> Messages:
    facts = get_store(connection.alias).diagnose()
    if connection.vendor == "mysql":
        yield from mysql.check_isolation(facts, connection.alias)
        yield from mysql.check_galera(facts, connection.alias)
        yield from mysql.check_charset(facts, connection.alias)
        yield from mysql.check_collation(facts, connection)
    if connection.vendor == "postgresql":
        yield from postgresql.check_encoding(facts, connection.alias)
        yield from postgresql.check_listen(connection.alias)
    yield from check_migrations(connection)
    if not missing_migrations(connection):
        yield from schedules.check_stored(connection)
