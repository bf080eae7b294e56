"""Jobs in the browser: what a page, a stream and a server's end cost, beside other ways.

    .venv/bin/python benchmarks/live.py             a quarter of an hour
    .venv/bin/python benchmarks/live.py --quick     two minutes; only prints
    .venv/bin/python benchmarks/live.py --stage paint stop

Needs Chromium (Debian: `apt-get install chromium`), without which pages are left out, and the
servers of `scripts/services postgresql redis`. Writes `benchmarks/results/live.md`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from arena.environments import environment as programs
from arena.environments import version as version_of
from arena.noise import spin_milliseconds, sync_microseconds
from audience.answering import answering
from audience.browser import browsing, chromium
from audience.drawing import Plan, drawing
from audience.painting import paint, painting
from audience.servers import COMMANDS, serving
from audience.sites import PYTHON, all_sites
from audience.stopping import stopping
from audience.streams import streaming
from load.database import environment, new_database, version
from load.engine import running
from load.report import machine, write

BUSY = 0.3
"""Load average per core above which something else is at work."""
TITLES = {
    "page": "A page that starts and shows jobs",
    "streams": "Streams in one web process",
    "paint": "From a job's end to the screen",
    "stop": "Stopping a web server with 100 open streams",
}
PAGE_STAGES = ("page", "paint")


def main() -> None:
    choices = _parser().parse_args()
    if choices.here:
        kind = choices.here
        name = f"offload_live_{os.getpid()}"
        with new_database(kind, name):
            print(run(choices.stage[0], kind, name, is_quick=choices.quick))
        return
    busy = os.getloadavg()[0]
    parts = [_circumstances(busy)]
    for stage in choices.stage or TITLES:
        parts.append(f"## {TITLES[stage]}")
        if stage in PAGE_STAGES and chromium() is None:
            parts.append("Left out: there is no Chromium.")
            continue
        parts += [_measure(stage, kind, choices.quick) for kind in kinds(stage, choices.quick)]
    text = "\n\n".join(parts)
    if choices.quick or choices.stage:
        print(f"{machine()}\n\n{text}")
    else:
        write("live", "Jobs in the browser", text)


def kinds(stage: str, is_quick: bool) -> list[str]:
    """Return the databases of a stage: where it makes no difference, SQLite alone."""
    return ["sqlite"] if is_quick or stage in ("page", "stop") else ["sqlite", "postgresql"]


def run(stage: str, kind: str, name: str, *, is_quick: bool) -> str:
    """Measure one stage in this process, on a database that is there; return Markdown."""
    match stage:
        case "page":
            with (
                tempfile.TemporaryDirectory() as folder,
                all_sites(kind, name, Path(folder)) as sites,
                browsing() as browser,
            ):
                plan = Plan(runs=1, seconds=3, clicks=10) if is_quick else Plan(5, 6, 24)
                clicked = answering(browser, sites, rounds=5 if is_quick else 20)
                drawn = drawing(browser, sites, plan)
            return f"{clicked}\n\n{drawn}"
        case "paint":
            env = environment(kind, name)
            with (
                running("--async-slots=100", "--shutdown-timeout=1"),
                serving("uvicorn", "audience.asgi:beside", PYTHON, env) as server,
                browsing() as browser,
            ):
                painted = paint(browser, server.address, rounds=1 if is_quick else 10)
            return painting(kind, painted)
        case "streams":
            return streaming(kind, name, *((200, 5.0) if is_quick else (1000, 15.0)))
        case _:
            return stopping(kind, name, ["uvicorn"] if is_quick else list(COMMANDS))


def _measure(stage: str, kind: str, is_quick: bool) -> str:  # noqa: FBT001  # from the command line
    """Measure in a process of its own: Django is set up once in each."""
    command = [sys.executable, __file__, "--here", kind, "--stage", stage]
    command += ["--quick"] * is_quick
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() if done.returncode == 0 else f"Not measured on {kind}: it failed."


def _circumstances(load: float) -> str:
    """Say what was measured, and how quiet the machine was before."""
    packages = ["django-offload", "uvicorn", "daphne", "hypercorn", "granian"]
    ...
