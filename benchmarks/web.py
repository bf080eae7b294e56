"""Enqueueing in web requests: requests a second and their slowest, 50 at a time.

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

from load.database import ask, empty, environment, new_database, version
from load.engine import running
from load.locks import Waits
from load.report import write
from load.server import CONNECTIONS, Load, press, serving

ROOT = Path(__file__).resolve().parents[1]
PYTHON = Path(sys.executable)
PYTHON_WITH_CELERY = ROOT / ".venv-web" / "bin" / "python"
HEAD = """\
| server | view | connections | requests/s | p50 | p99 | failed |
| --- | --- | --- | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True)
class Case:
    """A view of a project.

    Attributes:
        server: uvicorn or gunicorn.
        view: its path.
        settings: variables of `load.settings`.
        label: what is said of its connections.
    """

    server: str
    view: str
    settings: dict[str, str] = field(default_factory=dict)
    label: str = ""


def cases(kind: str) -> Iterator[Case]:
    """List what is measured on one database.

    Under ASGI each request has a thread of its own, so a connection cannot outlive it there.
    """
    if kind == "sqlite":
        yield Case("uvicorn", "empty")
        yield Case("uvicorn", "empty-async")
        yield Case("gunicorn", "empty")
    atomic = {"atomic_requests": "1"}
    yield Case("uvicorn", "enqueue", {}, "new")
    yield Case("uvicorn", "enqueue", atomic, "new, ATOMIC_REQUESTS")
    yield Case("uvicorn", "enqueue-async", {}, "new")
    for age, name in (("0", "new"), ("null", "kept")):
        yield Case("gunicorn", "enqueue", {"conn_max_age": age}, name)
        yield Case(
            "gunicorn", "enqueue", {"conn_max_age": age, **atomic}, f"{name}, ATOMIC_REQUESTS"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--quick", action="store_true", help="two seconds each instead of ten")
    parser.add_argument("--here", metavar="DATABASE", help="measure in this process")
    choices = parser.parse_args()
    seconds = 2 if choices.quick else 10
    if choices.here:
        run(choices.here, seconds)
        return
    lines, notes = [HEAD], [f"{CONNECTIONS} connections, {seconds} s each; wrk on the same cores."]
    for kind in choices.databases:
        command = [sys.executable, __file__, "--here", kind, *(["--quick"] * choices.quick)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        lines += [line for line in output.splitlines() if line.startswith("|")]
        notes += [line for line in output.splitlines() if line and not line.startswith("|")]
    lines += with_celery(seconds)
    write(
        "web",
        "Enqueueing in web requests",
        "\n".join([*lines, "", *(f"- {n}" for n in notes)]),
        keep=not choices.quick,
    )


def run(kind: str, seconds: int) -> None:
    """Measure on one database, in this process; print rows of the table, and notes."""
    name = f"offload_scale_web_{os.getpid()}"
    with new_database(kind, name):
        print(version() + ".")
        for case in cases(kind):
            env = environment(kind, name, **case.settings)
            where = "" if case.view.startswith("empty") else f"{kind}, "
            print(line(case, where + case.label, measured(case, seconds, env)), flush=True)
        if kind == "postgresql":
            listening(name, seconds)


def measured(case: Case, seconds: int, env: dict[str, str]) -> Load:
    """Press a view; each request that was answered must have left a row."""
    empty()
    with serving(case.server, PYTHON, env) as address:
        load = press(f"{address}/{case.view}", seconds)
    (rows,) = ask("SELECT COUNT(*) FROM offload_job")[0]
    if case.view.startswith("enqueue") and rows < load.requests - load.failed:
        raise RuntimeError(f"{load.requests:,} requests left {rows:,} rows.")
    return load


def listening(name: str, seconds: int) -> None:
    """Compare enqueueing with and without an engine that is woken by it."""
    case = Case("gunicorn", "enqueue", {"conn_max_age": "null"})
    env = environment("postgresql", name, **case.settings)
    for label in ("no engine", "an engine listens") * 2:  # twice, to tell a difference from noise
        empty()
        with Waits() as waits:
            if label == "no engine":
                load = measured(case, seconds, env)
            else:
                with running("--queues=bulk"), serving(case.server, PYTHON, env) as address:
                    load = press(f"{address}/{case.view}", seconds)
        print(line(case, f"postgresql, kept, {label}", load))
        print(f"PostgreSQL, {label}: {waits}.", flush=True)


def with_celery(seconds: int) -> Iterator[str]:
    """Press the view that calls `.delay()`."""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "load.celery_site"}
    env["PYTHONPATH"] = str(ROOT / "benchmarks")
    for server in ("uvicorn", "gunicorn"):
        case = Case(server, "delay")
        try:
            with serving(server, PYTHON_WITH_CELERY, env) as address:
                yield line(case, "Celery, Redis", press(f"{address}/delay", seconds))
        finally:
            forget = "from load.celery_site import *; "
            forget += "app.connection().default_channel.client.delete(QUEUE)"
            subprocess.run([PYTHON_WITH_CELERY, "-c", forget], env=env, check=False)


def line(case: Case, connections: str, load: Load) -> str:
    numbers = f"{load.rate:,.0f} | {load.p50:.1f} ms | {load.p99:.1f} ms | {load.failed}"
    return f"| {case.server} | {case.view} | {connections} | {numbers} |"


if __name__ == "__main__":
    main()
