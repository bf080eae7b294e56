"""Measure drain rates and pick-up latencies with millions of rows in the table.

    .venv/bin/python benchmarks/scale.py                   PostgreSQL, SQLite and MariaDB
    .venv/bin/python benchmarks/scale.py --quick postgresql
    .venv/bin/python benchmarks/scale.py --only queued finished
    .venv/bin/python benchmarks/scale.py --finished 2000000

Writes `benchmarks/results/scale-<database>.md`. Ten million rows need 6 GB of disk space.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from load.database import new_database, version
from load.report import write
from load.scale_table import HEAD, LEGEND
from load.scenarios import SCENARIOS
from load.sizes import Sizes


def main() -> None:
    options = parse()
    if options.here:
        run(options)
        return
    for kind in options.databases:
        command = [sys.executable, __file__, *sys.argv[1:], "--here", kind]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        rows = [line for line in output.splitlines() if line.startswith("|")]
        notes = [f"- {line}" for line in output.splitlines() if not line.startswith("|")]
        text = "\n".join([HEAD, *rows, "", LEGEND, *notes])
        is_complete = not options.quick and options.only == list(SCENARIOS)
        write(f"scale-{kind}", f"With millions of rows: {kind}", text, keep=is_complete)


def parse() -> argparse.Namespace:
    names = list(SCENARIOS)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("databases", nargs="*", default=["postgresql", "sqlite", "mariadb"])
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the rows; only prints")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=names,
        metavar="SCENARIO",
        help=f"any of: {', '.join(names)}",
    )
    parser.add_argument("--finished", type=int, help="rows of finished jobs (10,000,000)")
    parser.add_argument("--repeat", type=int, default=3, help="drains, of which the best counts")
    parser.add_argument("--here", metavar="DATABASE", help="measure in this process")
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    """Measure on one database, in this process; print rows of the table, and notes."""
    kind = options.here
    sizes = Sizes.quick() if options.quick else Sizes()
    sizes = sizes.changed(finished=options.finished, repeat=options.repeat)
    with new_database(kind, f"offload_scale_{os.getpid()}"):
        print(f"{version()}.", flush=True)
        for name in options.only:
            for line in SCENARIOS[name](sizes):
                print(line, flush=True)


if __name__ == "__main__":
    main()
