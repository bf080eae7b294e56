"""Results as Markdown files, with the machine and the versions of the run."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import django

RESULTS = Path(__file__).resolve().parents[1] / "results"


def write(name: str, title: str, text: str, *, keep: bool = True) -> None:
    """Print a text and, after a complete run, write it to `benchmarks/results/<name>.md`."""
    document = f"# {title}\n\n{machine()}\n\n{text}\n"
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(document)
    print(document)


def machine() -> str:
    """Return the date, the machine, the versions and the current load average."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, Django "
        f"{django.__version__}, SQLite {sqlite3.sqlite_version}; load average at the end "
        f"{os.getloadavg()[1]:.1f}."
    )
