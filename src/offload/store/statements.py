"""SQL statements, one per file, named as the verb that runs them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from offload.lifecycle import JobState
from offload.store.records import CLAIM_COLUMNS


@cache
def statement(dialect: str, name: str) -> str:
    """Return the text of `sql/<dialect>/<name>.sql`, with states and columns filled in."""
    text = (files("offload.store") / "sql" / dialect / f"{name}.sql").read_text()
    for state in JobState:
        text = text.replace(f"{{{state.name}}}", str(int(state)))
    return text.replace("{claim_columns}", CLAIM_COLUMNS)
