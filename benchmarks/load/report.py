"""What was measured, where and with what, as a Markdown file."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import django

RESULTS = Path(__file__).resolve().parents[1] / "results"


def write(name: str, title: str, text: str, *, keep: bool = True) -> None:
    """Print a text and, if all was measured, keep it as `benchmarks/results/<name>.md`."""
    whole = f"# {title}\n\n{machine()}\n\n{text}\n"
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(whole)
    print(whole)


def machine() -> str:
    """Say where and with what was measured, and how busy the machine was at the end."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, Django "
        f"{django.__version__}, SQLite {sqlite3.sqlite_version}; load average at the end "
        f"{os.getloadavg()[1]:.1f}."
    )
