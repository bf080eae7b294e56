"""Databases to check, and what checks say about them."""

from types import SimpleNamespace
from typing import Any

from django.test import override_settings

BACKEND = "offload.backends.database.DatabaseBackend"
SQLITE = "django.db.backends.sqlite3"
GOOD_SQLITE = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 5,
    "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;",
}


def ids_of(messages: Any) -> list[str]:
    """Return the ids of the messages, each of which must have a hint."""
    messages = list(messages)
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def database(alias: str = "jobs", **settings: Any) -> Any:
    """Return a stand-in for a connection, with the attributes that checks of settings read."""
    settings = {"NAME": "/nonexistent/db.sqlite3", "OPTIONS": {}, **settings}
    return SimpleNamespace(alias=alias, settings_dict=settings)


def tasks_in(using: str, **options: Any) -> override_settings:
    options = {"database": using, **options}
    return override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}})
