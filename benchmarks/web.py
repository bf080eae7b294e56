"""Measure views that enqueue, with 50 concurrent clients: requests per second and latencies.

    .venv/bin/python benchmarks/web.py            a quarter of an hour; --quick: a few minutes

uvicorn with one process and gunicorn with two of four threads, each with an empty view, with
`task.enqueue()` and with Celery's `.delay()` on Redis. Needs `scripts/packages wrk`, the servers
of `scripts/services postgresql redis`, and `make .venv-web/bench-web.stamp` for Celery.
Writes `benchmarks/results/web.md`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from load.database import delete_jobs, environment, new_database, query, version
from load.report import write
from load.wait_events import WaitEvents
from load.web_server import CONNECTIONS, WrkResult, run_wrk, serving
from load.worker import running_worker

ROOT = Path(__file__).resolve().parents[1]
PYTHON = Path(sys.executable)
PYTHON_WITH_CELERY = ROOT / ".venv-web" / "bin" / "python"
HEAD = """\
| server | view | connections | requests/s | p50 | p99 | failed |
| --- | --- | --- | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True)
class Case:
    """A view on a server.

    Attributes:
        server: uvicorn or gunicorn.
        view: path of the view.
        settings: variables of `load.settings`.
        label: description of the database connections, for the table.
    """

    server: str
    view: str
    settings: dict[str, str] = field(default_factory=dict)
    label: str = ""


def main() -> None:
    options = _parser().parse_args()
    seconds = 2 if options.quick else 10
    if options.here:
        run(options.here, seconds)
        return
    rows, notes = [HEAD], [f"{CONNECTIONS} connections, {seconds} s each; wrk on the same cores."]
    for kind in options.databases:
        command = [sys.executable, __file__, "--here", kind]
        if options.quick:
            command.append("--quick")
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        rows += [line for line in output.splitlines() if line.startswith("|")]
        notes += [line for line in output.splitlines() if line and not line.startswith("|")]
    rows += measure_celery(seconds)
    text = "\n".join([*rows, "", *(f"- {note}" for note in notes)])
    write("web", "Enqueueing in web requests", text, keep=not options.quick)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument(
        "--quick", action="store_true", help="two seconds each instead of ten; only prints"
    )
    parser.add_argument("--here", metavar="DATABASE", help="measure in this process")
    return parser


def run(kind: str, seconds: int) -> None:
    """Measure on one database, in this process; print rows of the table, and notes."""
    name = f"offload_scale_web_{os.getpid()}"
    with new_database(kind, name):
        print(version() + ".")
        for case in cases(kind):
            env = environment(kind, name, **case.settings)
            database = "" if case.view.startswith("empty") else f"{kind}, "
            print(row(case, database + case.label, measure(case, seconds, env)), flush=True)
        if kind == "postgresql":
            compare_with_worker(name, seconds)


def cases(kind: str) -> Iterator[Case]:
    """Yield the cases of one database.

    Under ASGI each request has a thread of its own, so connections cannot be persistent.
    """
    if kind == "sqlite":
        yield Case("uvicorn", "empty")
        yield Case("uvicorn", "empty-async")
        yield Case("gunicorn", "empty")
    atomic = {"atomic_requests": "1"}
    yield Case("uvicorn", "enqueue", {}, "new")
    yield Case("uvicorn", "enqueue", atomic, "new, ATOMIC_REQUESTS")
    yield Case("uvicorn", "enqueue-async", {}, "new")
    for age, label in (("0", "new"), ("null", "persistent")):
        settings = {"conn_max_age": age}
        yield Case("gunicorn", "enqueue", settings, label)
        yield Case("gunicorn", "enqueue", {**settings, **atomic}, f"{label}, ATOMIC_REQUESTS")


def measure(case: Case, seconds: int, env: dict[str, str]) -> WrkResult:
    """Put load on a view, and check that each successful request has inserted a row."""
    delete_jobs()
    with serving(case.server, PYTHON, env) as address:
        result = run_wrk(f"{address}/{case.view}", seconds)
    (rows,) = query("SELECT COUNT(*) FROM offload_job")[0]
    if case.view.startswith("enqueue") and rows < result.requests - result.failed:
        raise RuntimeError(f"{result.requests:,} requests inserted only {rows:,} rows.")
    return result


def compare_with_worker(name: str, seconds: int) -> None:
    """Compare enqueueing with and without a worker that each notification wakes."""
    case = Case("gunicorn", "enqueue", {"conn_max_age": "null"})
    env = environment("postgresql", name, **case.settings)
    for label in ("no worker", "a worker listens") * 2:  # twice, as the results vary
        delete_jobs()
        with WaitEvents() as wait_events:
            if label == "no worker":
                result = measure(case, seconds, env)
            else:
                with (
                    running_worker("--queues=bulk"),
                    serving(case.server, PYTHON, env) as address,
                ):
                    result = run_wrk(f"{address}/{case.view}", seconds)
        print(row(case, f"postgresql, persistent, {label}", result))
        print(f"PostgreSQL, {label}: {wait_events}.", flush=True)


def measure_celery(seconds: int) -> Iterator[str]:
    """Put load on the view that calls `.delay()`."""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "load.celery_site"}
    env["PYTHONPATH"] = str(ROOT / "benchmarks")
    for server in ("uvicorn", "gunicorn"):
        case = Case(server, "delay")
        try:
            with serving(server, PYTHON_WITH_CELERY, env) as address:
                yield row(case, "Celery, Redis", run_wrk(f"{address}/delay", seconds))
        finally:
            delete_queue = "from load.celery_site import *; "
            delete_queue += "app.connection().default_channel.client.delete(QUEUE)"
            subprocess.run([PYTHON_WITH_CELERY, "-c", delete_queue], env=env, check=False)


def row(case: Case, connections: str, result: WrkResult) -> str:
    numbers = f"{result.rate:,.0f} | {result.p50:.1f} ms | {result.p99:.1f} ms | {result.failed}"
    return f"| {case.server} | {case.view} | {connections} | {numbers} |"


if __name__ == "__main__":
    main()
