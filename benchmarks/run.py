"""Run the benchmarks.

make bench          all of them; keeps what they print in `benchmarks/results/`
make bench QUICK=1  statements on SQLite, beside fewer task queues, in the browser; only prints
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from load.report import RESULTS, machine

SCRIPTS = ["peers.py", "live.py", "scale.py", "memory.py", "web.py", "progress.py"]
"""Those that keep their results themselves."""
QUICK = SCRIPTS[:2]
"""Those for which there is time in small."""
HERE = Path(__file__).resolve().parent


def main() -> None:
    is_quick = "--quick" in sys.argv
    RESULTS.mkdir(exist_ok=True)
    text = count_statements(["sqlite"] if is_quick else ["sqlite", "postgresql", "mariadb"])
    print(text, flush=True)
    if not is_quick:
        (RESULTS / "statements.md").write_text(f"# Statements and commits\n\n{text}")
    sys.exit(fails(QUICK if is_quick else SCRIPTS, sys.argv[1:]))


def fails(scripts: Sequence[Path | str], arguments: Sequence[Path | str]) -> bool:
    """Run scripts, each to its end; return whether one failed, or was killed."""
    codes = [
        subprocess.run([sys.executable, HERE / script, *arguments], check=False).returncode
        for script in scripts
    ]
    return any(codes)


def count_statements(databases: list[str]) -> str:
    command = [sys.executable, HERE / "statements.py", *databases]
    measured = subprocess.run(command, check=True, capture_output=True, text=True)
    return f"{machine()}\n\n{measured.stdout}"


if __name__ == "__main__":
    main()
