"""SQL statements, one per file, named as the verb that runs them.

They are in a folder per dialect, and in `any` where a dialect needs none of its own.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from offload.lifecycle import JobState
from offload.models import Job
from offload.store.records import CLAIM_COLUMNS


@cache
def statement(dialect: str, name: str) -> str:
    """Return the text of a statement, with states and columns filled in."""
    folders = files("offload.store") / "sql"
    file = folders / dialect / f"{name}.sql"
    text = (file if file.is_file() else folders / "any" / f"{name}.sql").read_text()
    for state in JobState:
        text = text.replace(f"{{{state.name}}}", str(int(state)))
    text = text.replace("{watched_columns}", _watched_columns())
    return text.replace("{claim_columns}", CLAIM_COLUMNS)


def _watched_columns() -> str:
    """Name all columns but what the job was called with, which nobody who watches is shown."""
    names = (field.column for field in Job._meta.concrete_fields if field.name != "arguments")
    return ", ".join(f"job.{name}" for name in names)
