"""Jobs in the browser: what a page, a stream and a server's end cost, beside other ways.

    .venv/bin/python benchmarks/live.py             a quarter of an hour
    .venv/bin/python benchmarks/live.py --quick     two minutes, pages only; only prints
    .venv/bin/python benchmarks/live.py --stage paint stop

Needs Chromium (Debian: `apt-get install chromium`), without which pages are left out, and the
servers of `scripts/services postgresql redis`. Writes `benchmarks/results/live.md`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import psutil

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

BUSY = 10
"""Percent of the processors above which something else is at work."""
GLANCE = 3.0
"""Seconds in which that is looked at."""
TITLES = {
    "page": "A page that starts and shows jobs",
    "streams": "Streams in one web process",
    "paint": "From a job's end to the screen",
    "stop": "Stopping a web server with 100 open streams",
}
NOTES = {
    "page": "A click starts a job of two seconds. Then a page with 500 rows shows 50 jobs, each of "
    "which says five times a second how far it is, to a browser whose processor is slowed 4 "
    "times: some seconds without a touch, then clicks. A state is what came for one job. Medians.",
    "streams": "uvicorn, one process. With as many jobs as streams each stream follows its own; 50 "
    "of them run and change once a second. The plain view looks once a second, and closes its "
    "connections after each look. PSS is what each stream adds to the first one; streams are "
    "those open at the end, without one that is just coming back.",
    "paint": "From the row's `finished_at` to the frame in which the end can be read, in a browser "
    "that is not slowed. The plain view looks four times a second.",
    "stop": "SIGTERM, with no other option of the server, while the jobs of all streams wait.",
}
PEER = "celery-progress"
WITH_BROWSER = ("page", "paint")
"""Stages that need Chromium; for others `--quick` has no time."""


def main() -> None:
    choices = _parser().parse_args()
    stages = choices.stage or (WITH_BROWSER if choices.quick else TITLES)
    # Servers and workers have process groups of their own: end them too when this is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if choices.here:
        name = f"offload_live_{os.getpid()}"
        with new_database(choices.here, name):
            print(f"{version()}.\n")
            print(run(stages[0], choices.here, name, is_quick=choices.quick))
        return
    parts = [_circumstances()]
    for stage in stages:
        parts.append(f"## {TITLES[stage]}\n\n{NOTES[stage]}")
        if stage in WITH_BROWSER and chromium() is None:
            parts.append("Left out: there is no Chromium.")
            continue
        own = ["--quick"] * choices.quick
        parts += [_measure(stage, kind, own) for kind in kinds(stage, is_quick=choices.quick)]
    text = "\n\n".join(parts)
    if choices.quick or len(stages) < len(TITLES):
        print(f"{machine()}\n\n{text}")
    else:
        write("live", "Jobs in the browser", text)


def kinds(stage: str, *, is_quick: bool) -> list[str]:
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
                plan = Plan(runs=1, seconds=3, clicks=10) if is_quick else Plan(3, 6, 24)
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
                painted = paint(browser, server.address, rounds=1 if is_quick else 5)
            return painting(kind, painted)
        case "streams":
            return streaming(kind, name, *((200, 5.0) if is_quick else (1000, 15.0)))
        case _:
            return stopping(kind, name, ["uvicorn"] if is_quick else list(COMMANDS))


def _measure(stage: str, kind: str, choices: list[str]) -> str:
    """Measure in a process of its own, as Django is set up once in each; return Markdown."""
    command = [sys.executable, __file__, "--here", kind, "--stage", stage, *choices]
    env = {**os.environ, "LOAD_SETTINGS": "audience.settings"}
    print(f"{stage} on {kind}", file=sys.stderr, flush=True)
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            said, _ = process.communicate()
        except BaseException:
            process.terminate()  # it ends what it has started
            raise
    return said.strip() if process.returncode == 0 else f"Not measured on {kind}: it failed."


def _circumstances() -> str:
    """Say with what is measured, and how quiet the machine is now."""
    versions = [f"{part} {version_of(PEER, part)}" for part in (PEER, "celery")]
    versions += [f"{name} {metadata.version(name)}" for name in (*COMMANDS, "playwright")]
    if (path := chromium()) is not None:
        told = subprocess.run([path, "--version"], check=True, capture_output=True, text=True)
        versions.append(told.stdout.strip())
    used = psutil.cpu_percent(GLANCE)
    sync, spin = sync_microseconds(Path(tempfile.gettempdir())), spin_milliseconds()
    noise = f"fdatasync of 8 kB {sync:.0f} us, a fixed loop {spin:.0f} ms"
    busy = " **Other work used part of the machine.**" if used > BUSY else ""
    return f"{', '.join(versions)}.\n\nBefore: {noise}, processors {used:.0f} % busy.{busy}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", nargs="+", choices=TITLES)
    parser.add_argument("--quick", action="store_true", help="fewer of everything; only prints")
    parser.add_argument("--here", metavar="DATABASE", help="measure in this process")
    return parser


if __name__ == "__main__":
    main()
