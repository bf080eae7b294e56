"""Run the benchmarks.

make bench          all of them; keeps what they print in `benchmarks/results/`
make bench QUICK=1  statements on SQLite, beside fewer task queues, in the browser; only prints
"""

from __future__ import annotations

import platform
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import django

SCRIPTS = ["peers.py", "live.py", "scale.py", "memory.py", "web.py", "progress.py"]
"""Those that keep their results themselves."""
QUICK = SCRIPTS[:2]
"""Those for which there is time in small."""
HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def main() -> None:
    is_quick = "--quick" in sys.argv
    RESULTS.mkdir(exist_ok=True)
    text = count_statements(["sqlite"] if is_quick else ["sqlite", "postgresql", "mariadb"])
    print(text, flush=True)
    if not is_quick:
        (RESULTS / "statements.md").write_text(f"# Statements and commits\n\n{text}")
    codes = [
        subprocess.run([sys.executable, HERE / script, *sys.argv[1:]], check=False).returncode
        for script in (QUICK if is_quick else SCRIPTS)
    ]
    sys.exit(max(codes))


def count_statements(databases: list[str]) -> str:
    command = [sys.executable, HERE / "statements.py", *databases]
    measured = subprocess.run(command, check=True, capture_output=True, text=True)
    return f"{machine()}\n\n{measured.stdout}"


def machine() -> str:
    """Say where and with what was measured."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, Django {django.__version__}, "
        f"SQLite {sqlite3.sqlite_version}."
    )


if __name__ == "__main__":
    main()
