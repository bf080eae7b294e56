"""SQL statements, one per file, named after the verb that runs them.

They are in a folder per dialect, and in `any` where a dialect needs none of its own.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from offload.lifecycle import JobState
from offload.models import Job
from offload.store.records import ClaimedJob

CLOCKS = {
    # Not clock_timestamp(): it may change from row to row, so it opens no range of an index.
    "postgresql": "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint",
    # SQLite's own clock stops at milliseconds: this host's is a parameter.
    "sqlite": "%(now)s",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}
"""SQL for the database's clock: microseconds since 1970 UTC."""

_INCLUDE = re.compile(r"\{(\w+)\.sql\}")


@cache
def statement(dialect: str, name: str) -> str:
    """Return the text of a statement, with states, columns, clock and included files filled in."""
    text = _INCLUDE.sub(lambda include: _read(dialect, include[1]), _read(dialect, name))
    for state in JobState:
        text = text.replace(f"{{{state.name}}}", str(int(state)))
    text = text.replace("{clock}", CLOCKS[dialect])
    text = text.replace("{watched_columns}", _watched_columns())
    return text.replace("{claim_columns}", _claim_columns(dialect))


def _read(dialect: str, name: str) -> str:
    folders = files("offload.store") / "sql"
    file = folders / dialect / f"{name}.sql"
    if not file.is_file():
        file = folders / "any" / f"{name}.sql"
    return file.read_text()


def _watched_columns() -> str:
    """Return all columns but the arguments, which no subscriber is shown."""
    names = (field.column for field in Job._meta.concrete_fields if field.name != "arguments")
    return ", ".join(f"job.{name}" for name in names)


def _claim_columns(dialect: str) -> str:
    """Return the columns of a `ClaimedJob`; its ids are text on every database."""
    cast = "::text" if dialect == "postgresql" else ""
    columns = ClaimedJob._fields[:-1]
    return ", ".join(f"{name}{cast}" if name in {"id", "worker"} else name for name in columns)
