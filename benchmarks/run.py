"""Run the benchmarks and keep what they print in `benchmarks/results/`.

make bench          all of them
make bench QUICK=1  on SQLite only, beside fewer task queues
"""

from __future__ import annotations

import platform
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import django

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    is_quick = "--quick" in sys.argv
    count_statements(["sqlite"] if is_quick else ["sqlite", "postgresql", "mariadb"])
    peers = [sys.executable, HERE / "peers.py", *(["--quick"] if is_quick else [])]
    sys.exit(subprocess.run(peers, check=False).returncode)


def count_statements(databases: list[str]) -> None:
    command = [sys.executable, HERE / "statements.py", *databases]
    measured = subprocess.run(command, check=True, capture_output=True, text=True)
    text = f"{machine()}\n\n{measured.stdout}"
    print(text)
    (RESULTS / "statements.md").write_text(f"# Statements and commits\n\n{text}")


def machine() -> str:
    """Say where and with what was measured."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, Django {django.__version__}, "
        f"SQLite {sqlite3.sqlite_version}."
    )


if __name__ == "__main__":
    main()
