"""The cost of hundreds of open streams in one web process."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

from comparison.resource_usage import cpu_seconds_between, cpu_times, proportional_memory
from live_pages.goals import Goal, number, table
from live_pages.servers import Server, serving
from live_pages.sites import PYTHON
from live_pages.stream_clients import StreamClients
from load.database import delete_jobs, environment
from load.worker import PAUSE, running_worker

RUNNING_JOBS = 50
"""Jobs that run at once; each changes once a second."""
STEPS = 600
OPEN_TIMEOUT_SECONDS = 180.0
WARM_UP_SECONDS = 5.0
"""Pause between the start of the worker and the measurement."""
SAMPLES = 10
KIBIBYTES_PER_MEBIBYTE = 1024
HEAD = """\
| database | served by | jobs followed | streams | threads | connections held | maximum \
| PSS of a stream | CPU idle | CPU at 50 updates/s | events/s |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


class Case(NamedTuple):
    """A kind of stream.

    Attributes:
        name: name in the table.
        application: name in `live_pages.asgi`.
        path: path of the stream, to which the job's id is appended.
        jobs: number of jobs; each stream follows one.
    """

    name: str
    application: str
    path: str
    jobs: int


@dataclass(frozen=True)
class StreamCost:
    """The resources of one process.

    Attributes:
        streams: streams that are open at the end, without those that are reconnecting.
        threads: maximum number of threads.
        connections: minimum number of database connections.
        added_connections: the same, without those that a single stream holds.
        max_connections: maximum number of database connections.
        memory: KiB of PSS for each stream.
        idle: percent of a core while no job changes.
        busy: percent of a core while 50 jobs change each second.
        events: events per second that the clients received then.
    """

    streams: int
    threads: int
    connections: int
    added_connections: int
    max_connections: int
    memory: float
    idle: float
    busy: float
    events: float


def stream_cost(kind: str, name: str, streams: int, seconds: float) -> str:
    """Measure on one database; return Markdown."""
    lines, goals = [HEAD], []
    for case in _cases(streams):
        cost = _measure(kind, name, case, streams, seconds)
        print(f"{kind}, {case.name}, {case.jobs} jobs: {cost}", file=sys.stderr, flush=True)
        lines.append(_row(kind, case, cost))
        if case.application == "with_streams":
            label = f"{cost.streams:,} streams on {case.jobs:,} jobs, {kind}"
            goals.append(Goal(f"threads, {label}", cost.threads, 20))
            goals.append(Goal(f"connections held for them, {label}", cost.added_connections, 0))
    return "\n".join([*lines, "", table(goals)])


def _cases(streams: int) -> list[Case]:
    """Return the cases: a job for each stream, and few jobs that all streams share."""
    return [
        Case("`offload.asgi`", "with_streams", "/tasks/events/?ids=", streams),
        Case("`offload.asgi`", "with_streams", "/tasks/events/?ids=", RUNNING_JOBS),
        Case("plain SSE view", "django", "/sse-view/events/?interval=1&ids=", streams),
    ]


def _measure(kind: str, name: str, case: Case, streams: int, seconds: float) -> StreamCost:
    from live_pages.tasks import count  # noqa: PLC0415  # needs the app registry

    delete_jobs()
    results = count.enqueue_many([((STEPS, 1.0), {})] * case.jobs)
    paths = [f"{case.path}{results[each % case.jobs].id}" for each in range(streams)]
    slots = f"--async-slots={RUNNING_JOBS // 2}"  # for each of the worker's two processes
    application = f"live_pages.asgi:{case.application}"
    with serving("uvicorn", application, PYTHON, environment(kind, name)) as server:
        with StreamClients(server.port, paths[:1]) as clients:
            clients.wait_until_open(20)
            single = _measure_resources(server)
        with StreamClients(server.port, paths) as clients:
            opened = clients.wait_until_open(OPEN_TIMEOUT_SECONDS)
            waiting = _measure_resources(server)
            idle, _ = _measure_load(server, clients, seconds)
            with running_worker(slots, "--shutdown-timeout=0"):
                PAUSE.wait(WARM_UP_SECONDS)
                busy, events = _measure_load(server, clients, seconds)
                updating = _measure_resources(server)
                open_at_end = min(opened, clients.open)
    connections = min(waiting.min_connections, updating.min_connections)
    added_memory = waiting.memory - single.memory
    return StreamCost(
        streams=open_at_end,
        threads=max(waiting.threads, updating.threads),
        connections=connections,
        added_connections=connections - single.min_connections,
        max_connections=max(waiting.max_connections, updating.max_connections),
        memory=KIBIBYTES_PER_MEBIBYTE * added_memory / max(1, opened - 1),
        idle=idle,
        busy=busy,
        events=events,
    )


class Resources(NamedTuple):
    """The resources of one process, from several samples.

    Attributes:
        threads: maximum number of threads.
        min_connections: minimum number of database connections.
        max_connections: maximum number of database connections.
        memory: PSS in MiB.
    """

    threads: int
    min_connections: int
    max_connections: int
    memory: float


def _measure_resources(server: Server) -> Resources:
    process = server.application_process()
    threads, connections = [], []
    for _ in range(SAMPLES):
        threads.append(process.num_threads())
        connections.append(server.connections())
        PAUSE.wait(0.1)
    memory = proportional_memory([process.pid])
    return Resources(max(threads), min(connections), max(connections), memory)


def _measure_load(server: Server, clients: StreamClients, seconds: float) -> tuple[float, float]:
    """Return the CPU use in percent of a core, and the received events per second."""
    pid = server.application_process().pid
    started, cpu_before, events_before = time.monotonic(), cpu_times([pid]), clients.events
    PAUSE.wait(seconds)
    elapsed = time.monotonic() - started
    cpu_seconds = cpu_seconds_between(cpu_before, cpu_times([pid]))
    return 100 * cpu_seconds / elapsed, (clients.events - events_before) / elapsed


def _row(kind: str, case: Case, cost: StreamCost) -> str:
    cells = [
        f"{case.jobs:,}",
        f"{cost.streams:,}",
        f"{cost.threads:,}",
        f"{cost.connections:,}",
        f"{cost.max_connections:,}",
        f"{number(cost.memory)} KiB",
        f"{cost.idle:.0f} %",
        f"{cost.busy:.0f} %",
        f"{cost.events:,.0f}",
    ]
    return f"| {kind} | {case.name} | {' | '.join(cells)} |"
