"""SQL statements, one per file, named as the verb that runs them.

They are in a folder per dialect, and in `any` where a dialect needs none of its own.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from offload.lifecycle import JobState
from offload.store.records import CLAIM_COLUMNS


@cache
def statement(dialect: str, name: str) -> str:
    """Return the text of a statement, with states and columns filled in."""
    folders = files("offload.store") / "sql"
    file = folders / dialect / f"{name}.sql"
    text = (file if file.is_file() else folders / "any" / f"{name}.sql").read_text()
    for state in JobState:
        text = text.replace(f"{{{state.name}}}", str(int(state)))
    return text.replace("{claim_columns}", CLAIM_COLUMNS)
