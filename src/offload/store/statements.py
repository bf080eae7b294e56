"""SQL statements, one per file, named after the store's method that runs them.

Each dialect has a folder; `any` has the statements for dialects without their own.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from offload.lifecycle import JobState, RunWhen
from offload.models import Job
from offload.store.records import ClaimedJob, ExtraColumns

CLOCKS = {
    # Not clock_timestamp(): it may change from row to row, so it cannot limit an index scan.
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
    for run_when in RunWhen:
        text = text.replace(f"{{RunWhen.{run_when.name}}}", str(int(run_when)))
    text = text.replace("{clock}", CLOCKS[dialect])
    text = text.replace("{watched_columns}", _watched_columns())
    return text.replace("{claim_columns}", _claim_columns(dialect))


@cache
def finish_statement(dialect: str, extra: ExtraColumns, name: str = "finish") -> str:
    """Return the statement that writes outcomes, with the columns that only some jobs need.

    Even writing an unchanged column costs time, on SQLite especially if an index contains it.
    """
    text = statement(dialect, name)
    for column, is_written in extra._asdict().items():
        text = text.replace(f"{{{column}}}", statement(dialect, column) if is_written else "")
    return text


def _read(dialect: str, name: str) -> str:
    folders = files("offload.store") / "sql"
    file = folders / dialect / f"{name}.sql"
    if not file.is_file():
        file = folders / "any" / f"{name}.sql"
    return file.read_text()


_DEFINITION = """
CASE WHEN job.run_when IS NULL AND job.awaited IS NOT NULL THEN job.arguments END AS definition"""


def _watched_columns() -> str:
    """Return all columns but the arguments, which no subscriber is shown, except a workflow's."""
    columns = [field.column for field in Job._meta.concrete_fields if field.name != "arguments"]
    names = [f"job.{name}" for name in columns]
    return ", ".join([*names, _DEFINITION])


def _claim_columns(dialect: str) -> str:
    """Return the columns of a `ClaimedJob`, whose ids are text on every database."""
    columns = list(ClaimedJob._fields)
    columns.remove("previous")  # no column: read from the attempts
    if dialect == "postgresql":
        for name in ("id", "worker", "workflow"):
            columns[columns.index(name)] = f"{name}::text"
    return ", ".join(columns)
