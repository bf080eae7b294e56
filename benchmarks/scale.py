"""Drain rate and pick-up latency beside millions of rows.

    .venv/bin/python benchmarks/scale.py                   PostgreSQL, SQLite and MariaDB
    .venv/bin/python benchmarks/scale.py --quick postgresql
    .venv/bin/python benchmarks/scale.py --only queued finished
    .venv/bin/python benchmarks/scale.py --finished 2000000

Writes `benchmarks/results/scale-<database>.md`. Ten million rows need 6 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from load.database import new_database, version
from load.report import write
from load.scenes import SCENES
from load.sizes import Sizes

HEAD = """\
| beside | jobs | jobs/s | of an empty table's | first, slowest, last tenth \
| others' cores | pick-up p50, p99 | result p50 |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""
LEGEND = """\
- Drained by `offload_worker --processes 2 --threads 1`, results stored; no-ops.
- The rate of an empty table was measured just before each scene: machines have neighbours.
- Others' cores: how many processors were busy with something else meanwhile."""


def main() -> None:
    choices = parse()
    if choices.here:
        run(choices)
        return
    for kind in choices.databases:
        command = [sys.executable, __file__, *sys.argv[1:], "--here", kind]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        lines = [line for line in output.splitlines() if line.startswith("|")]
        notes = [f"- {line}" for line in output.splitlines() if not line.startswith("|")]
        text = "\n".join([HEAD, *lines, "", LEGEND, *notes])
        is_whole = not choices.quick and choices.only == list(SCENES)
        write(f"scale-{kind}", f"Beside millions of rows: {kind}", text, keep=is_whole)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("databases", nargs="*", default=["postgresql", "sqlite", "mariadb"])
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the rows")
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES), metavar="SCENE")
    parser.add_argument("--finished", type=int, help="rows of finished jobs (10,000,000)")
    parser.add_argument("--repeat", type=int, default=3, help="drains, of which the best counts")
    parser.add_argument("--here", metavar="DATABASE", help="measure in this process")
    return parser.parse_args()


def run(choices: argparse.Namespace) -> None:
    """Measure on one database, in this process; print rows of the table, and notes."""
    kind = choices.here
    sizes = Sizes.quick() if choices.quick else Sizes()
    sizes = sizes.changed(finished=choices.finished, repeat=choices.repeat)
    with new_database(kind, f"offload_scale_{os.getpid()}"):
        print(f"{version()}.", flush=True)
        for name in choices.only:
            for line in SCENES[name](sizes):
                print(line, flush=True)


if __name__ == "__main__":
    main()
