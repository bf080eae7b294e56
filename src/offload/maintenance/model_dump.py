"""Backups by Django's `dumpdata`, for databases and machines without a program of their own."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db import transaction

RECREATED = ["contenttypes", "auth.Permission"]
"""Models whose rows `migrate` creates, with other primary keys."""


def dump_models(connection: Any, descriptor: int, _path: Path) -> None:
    """Write the rows of all models as JSON for `loaddata`, in one transaction."""
    with (
        transaction.atomic(connection.alias),
        os.fdopen(descriptor, "wb", closefd=False) as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as file,
        io.TextIOWrapper(file, encoding="utf-8") as stream,
    ):
        _read_one_state(connection)
        call_command(
            "dumpdata",
            database=connection.alias,
            exclude=[label for label in RECREATED if _is_installed(label)],
            use_natural_foreign_keys=True,
            use_base_manager=True,
            stdout=stream,
            no_color=True,
        )


def _read_one_state(connection: Any) -> None:
    """Let all queries of the transaction see the same state, if its first one is this."""
    if connection.vendor in ("mysql", "postgresql"):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _is_installed(label: str) -> bool:
    return apps.is_installed(f"django.contrib.{label.partition('.')[0]}")
