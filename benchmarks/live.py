"""Compare pages that show jobs, streams, and the shutdown of web servers.

    .venv/bin/python benchmarks/live.py             a quarter of an hour
    .venv/bin/python benchmarks/live.py --quick     two minutes, pages only; only prints
    .venv/bin/python benchmarks/live.py --stage paint stop

Needs the servers of `scripts/services postgresql redis`, and Chromium for pages (Debian:
`apt-get install chromium`); without Chromium their stages are skipped.
Writes `benchmarks/results/live.md`.
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

from comparison.environments import version as version_in_environment
from comparison.noise import fdatasync_microseconds, loop_milliseconds
from live_pages.browser import chromium, open_browser
from live_pages.click_latency import click_latency
from live_pages.paint_latency import measure_paint_times, paint_latency
from live_pages.rendering_cost import Plan, rendering_cost
from live_pages.server_shutdown import server_shutdown
from live_pages.servers import COMMANDS, serving
from live_pages.sites import PYTHON, all_sites
from live_pages.stream_cost import stream_cost
from load.database import environment, new_database, version
from load.report import machine, write
from load.worker import running_worker

MAX_IDLE_CPU_PERCENT = 10
"""CPU use above which other work disturbs the measurements."""
CPU_SAMPLE_SECONDS = 3.0
TITLES = {
    "page": "A page that starts and shows jobs",
    "streams": "Streams in one web process",
    "paint": "From the finish of a job to the screen",
    "stop": "Stopping a web server with 100 open streams",
}
NOTES = {
    "page": "A click starts a job of two seconds. Then a page with 500 rows shows 50 jobs, each of "
    "which reports progress five times a second, in a browser whose processor is slowed 4 times: "
    "some seconds without input, then clicks. An update is a received state of one job. Medians.",
    "streams": "uvicorn, one process. With as many jobs as streams, each stream follows its own; "
    "50 of the jobs run and change once a second. The plain view queries once a second, and closes "
    "its connections after each query. PSS is the memory that each further stream adds; streams "
    "are those open at the end, without those that are reconnecting.",
    "paint": "From the row's `finished_at` to the frame that shows the final state, in a browser "
    "that is not slowed. The plain view queries four times a second.",
    "stop": "SIGTERM, with the server's default options, while the jobs of all streams wait.",
}
PEER = "celery-progress"
BROWSER_STAGES = ("page", "paint")
"""Stages that need Chromium; `--quick` runs only these."""


def main() -> None:
    options = _parser().parse_args()
    stages = options.stage or (BROWSER_STAGES if options.quick else TITLES)
    # Servers and workers have process groups of their own: SystemExit stops them, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.here:
        name = f"offload_live_{os.getpid()}"
        with new_database(options.here, name):
            print(f"{version()}.\n")
            print(run(stages[0], options.here, name, is_quick=options.quick))
        return
    parts = [_conditions()]
    for stage in stages:
        parts.append(f"## {TITLES[stage]}\n\n{NOTES[stage]}")
        if stage in BROWSER_STAGES and chromium() is None:
            parts.append("Skipped: Chromium is not installed.")
            continue
        kinds = database_kinds(stage, is_quick=options.quick)
        parts += [_measure(stage, kind, is_quick=options.quick) for kind in kinds]
    text = "\n\n".join(parts)
    if options.quick or len(stages) < len(TITLES):
        print(f"{machine()}\n\n{text}")
    else:
        write("live", "Jobs in the browser", text)


def database_kinds(stage: str, *, is_quick: bool) -> list[str]:
    """Return the databases of a stage: only SQLite if the database makes no difference."""
    return ["sqlite"] if is_quick or stage in ("page", "stop") else ["sqlite", "postgresql"]


def run(stage: str, kind: str, name: str, *, is_quick: bool) -> str:
    """Measure one stage in this process, on an existing database; return Markdown."""
    match stage:
        case "page":
            return _run_page(kind, name, is_quick=is_quick)
        case "paint":
            return _run_paint(kind, name, is_quick=is_quick)
        case "streams":
            streams, seconds = (200, 5.0) if is_quick else (1000, 15.0)
            return stream_cost(kind, name, streams, seconds)
        case _:
            return server_shutdown(kind, name, ["uvicorn"] if is_quick else list(COMMANDS))


def _run_page(kind: str, name: str, *, is_quick: bool) -> str:
    plan = Plan(runs=1, seconds=3, clicks=10) if is_quick else Plan(runs=3, seconds=6, clicks=24)
    with (
        tempfile.TemporaryDirectory() as folder,
        all_sites(kind, name, Path(folder)) as sites,
        open_browser() as browser,
    ):
        clicks = click_latency(browser, sites, rounds=5 if is_quick else 20)
        rendering = rendering_cost(browser, sites, plan)
    return f"{clicks}\n\n{rendering}"


def _run_paint(kind: str, name: str, *, is_quick: bool) -> str:
    env = environment(kind, name)
    with (
        running_worker("--async-slots=100", "--shutdown-timeout=1"),
        serving("uvicorn", "live_pages.asgi:with_streams", PYTHON, env) as server,
        open_browser() as browser,
    ):
        painted = measure_paint_times(browser, server.address, rounds=1 if is_quick else 5)
    return paint_latency(kind, painted)


def _measure(stage: str, kind: str, *, is_quick: bool) -> str:
    """Measure one stage in a new process, as Django can be set up only once; return Markdown."""
    command = [sys.executable, __file__, "--here", kind, "--stage", stage]
    if is_quick:
        command.append("--quick")
    env = {**os.environ, "LOAD_SETTINGS": "live_pages.settings"}
    print(f"{stage} on {kind}", file=sys.stderr, flush=True)
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.terminate()  # it stops the processes that it has started
            raise
    if process.returncode:
        return f"Not measured on {kind}, because it failed."
    return output.strip()


def _conditions() -> str:
    """Return the versions of the software, and how quiet the machine is now."""
    versions = [f"{name} {version_in_environment(PEER, name)}" for name in (PEER, "celery")]
    versions += [f"{name} {metadata.version(name)}" for name in (*COMMANDS, "playwright")]
    if (path := chromium()) is not None:
        process = subprocess.run([path, "--version"], check=True, capture_output=True, text=True)
        versions.append(process.stdout.strip())
    cpu = psutil.cpu_percent(CPU_SAMPLE_SECONDS)
    sync, loop = fdatasync_microseconds(Path(tempfile.gettempdir())), loop_milliseconds()
    noise = f"fdatasync of 8 kB {sync:.0f} us, a fixed loop {loop:.0f} ms, CPU {cpu:.0f} % busy"
    text = f"{', '.join(versions)}.\n\nBefore: {noise}."
    if cpu > MAX_IDLE_CPU_PERCENT:
        text += " **Other work used part of the machine.**"
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", nargs="+", choices=TITLES, help="measure only these stages")
    parser.add_argument("--quick", action="store_true", help="fewer of everything; only prints")
    parser.add_argument("--here", metavar="DATABASE", help="measure in this process")
    return parser


if __name__ == "__main__":
    main()
