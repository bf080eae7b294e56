"""Run the benchmarks and keep what they print in `benchmarks/results/`.

make bench          all of them
make bench QUICK=1  a first impression
"""

from __future__ import annotations

import platform
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import django

SCRIPTS = ["scale.py", "memory.py", "web.py"]
"""Those that write their results themselves."""
HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def main() -> None:
    databases = ["sqlite"] if "--quick" in sys.argv else ["sqlite", "postgresql", "mariadb"]
    command = [sys.executable, HERE / "statements.py", *databases]
    measured = subprocess.run(command, check=True, capture_output=True, text=True)
    text = f"{machine()}\n\n{measured.stdout}"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "statements.md").write_text(f"# Statements and commits\n\n{text}")
    for script in SCRIPTS:
        subprocess.run([sys.executable, HERE / script, *sys.argv[1:]], check=True)


def machine() -> str:
    """Say where and with what was measured."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, Django {django.__version__}, "
        f"SQLite {sqlite3.sqlite_version}."
    )


if __name__ == "__main__":
    main()
