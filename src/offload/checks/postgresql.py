"""Checks of a PostgreSQL server."""

from __future__ import annotations

from django.core.checks import Warning  # noqa: A004

from offload.checks.messages import Messages
from offload.notifier import get_notifier


def check_encoding(facts: dict[str, str], alias: str) -> Messages:
    """Check that the database can hold all characters."""
    encoding = facts["server_encoding"]
    if encoding not in {"UTF8", "SQL_ASCII"}:  # the latter keeps any bytes
        yield Warning(
            f"DATABASES[{alias!r}] has the encoding {encoding}: jobs whose arguments contain other "
            "characters cannot be enqueued.",
            hint="Move to a database that was created with ENCODING 'UTF8'.",
            id="offload.W021",
        )


def check_listen(alias: str) -> Messages:
    """Check that notifications arrive: a pooler such as PgBouncer may drop them."""
    if not get_notifier(alias).delivers_hints():
        yield Warning(
            f"LISTEN on DATABASES[{alias!r}] receives nothing: jobs start late, at the next poll.",
            hint="Use psycopg 3, and connect to PostgreSQL directly or through a pooler in session "
            "mode. (PgBouncer in transaction mode drops LISTEN.)",
            id="offload.W013",
        )
