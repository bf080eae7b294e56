"""Run the benchmarks.

make bench          all of them; writes `benchmarks/results/`
make bench QUICK=1  statements on SQLite, fewer task queues, pages in the browser; only prints
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from load.report import RESULTS, machine

SCRIPTS = [
    "peers.py",
    "live.py",
    "coordination.py",
    "celery_kills.py",
    "scale.py",
    "memory.py",
    "web.py",
    "progress.py",
]
"""Scripts that write their results themselves."""
QUICK_SCRIPTS = SCRIPTS[:2]
HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="only prints")
    if parser.parse_args().quick:
        print(count_statements(["sqlite"]), flush=True)
        sys.exit(any_fails(QUICK_SCRIPTS, ["--quick"]))
    text = count_statements(["sqlite", "postgresql", "mariadb"])
    print(text, flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "statements.md").write_text(f"# Statements and commits\n\n{text}")
    has_failed = any_fails(SCRIPTS, [])
    sys.exit(any_fails(SCRIPTS[:1], ["--celery"]) or has_failed)


def any_fails(scripts: Sequence[Path | str], arguments: Sequence[Path | str]) -> bool:
    """Run all scripts; return whether one of them failed or was killed."""
    codes = [
        subprocess.run([sys.executable, HERE / script, *arguments], check=False).returncode
        for script in scripts
    ]
    return any(codes)


def count_statements(databases: list[str]) -> str:
    """Run `statements.py` and return its table with a description of the machine."""
    command = [sys.executable, HERE / "statements.py", *databases]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    return f"{machine()}\n\n{process.stdout}"


if __name__ == "__main__":
    main()
