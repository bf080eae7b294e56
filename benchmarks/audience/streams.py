"""What hundreds of open streams cost one web process."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

from arena.usage import processor_seconds, proportional_memory, spent
from audience.crowd import Crowd
from audience.goals import Goal, number, table
from audience.servers import Server, serving
from audience.sites import PYTHON
from load.database import empty, environment
from load.engine import PAUSE, running

RUNNING = 50
"""Jobs that run at once; each changes once a second."""
STEPS = 600
OPENING = 180.0
"""Seconds that the streams have to open."""
WARM_UP = 5.0
"""Seconds between the engine's start and the measurement."""
SAMPLES = 10
KIBIBYTES = 1024
HEAD = """\
| database | served by | jobs followed | streams | threads | connections held | most seen \
| PSS of a stream | CPU idle | CPU at 50 updates/s | events/s |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


class Case(NamedTuple):
    """Attributes:
    name: in the table.
    application: of `audience.asgi`.
    path: of the stream, without its jobs.
    jobs: that are followed; each stream follows one.
    """

    name: str
    application: str
    path: str
    jobs: int


@dataclass(frozen=True)
class Cost:
    """What one process needs.

    Attributes:
        streams: that are open at the end; one that is just coming back is not.
        threads: the most that were seen.
        held: connections to the database that were always there.
        for_streams: how many more of these than with one stream.
        most: connections that were seen at once.
        memory: KiB of PSS for each stream.
        idle: percent of a core while nothing changes.
        busy: the same while 50 jobs change each second.
        events: that were read then, per second.
    """

    streams: int
    threads: int
    held: int
    for_streams: int
    most: int
    memory: float
    idle: float
    busy: float
    events: float


def cases(streams: int) -> list[Case]:
    """List what is measured: a job for each stream, and few jobs that all look at."""
    by_hand = "/by-hand/events/?every=1&ids="
    return [
        Case("`offload.asgi`", "beside", "/tasks/events/?ids=", streams),
        Case("`offload.asgi`", "beside", "/tasks/events/?ids=", RUNNING),
        Case("plain SSE view", "django", by_hand, streams),
    ]


def streaming(kind: str, name: str, streams: int, seconds: float) -> str:
    """Measure on one database; return Markdown."""
    lines, goals = [HEAD], []
    for case in cases(streams):
        cost = _cost(kind, name, case, streams, seconds)
        print(f"{kind}, {case.name}, {case.jobs} jobs: {cost}", file=sys.stderr, flush=True)
        lines.append(_line(kind, case, cost))
        if case.application == "beside":
            label = f"{cost.streams:,} streams on {case.jobs:,} jobs, {kind}"
            goals.append(Goal(f"threads, {label}", cost.threads, 20))
            goals.append(Goal(f"connections held for them, {label}", cost.for_streams, 0))
    return "\n".join([*lines, "", table(goals)])


def _cost(kind: str, name: str, case: Case, streams: int, seconds: float) -> Cost:
    from audience.tasks import count  # noqa: PLC0415  # needs the app registry

    empty()
    results = count.enqueue_many([((STEPS, 1.0), {})] * case.jobs)
    paths = [f"{case.path}{results[each % case.jobs].id}" for each in range(streams)]
    slots = f"--async-slots={RUNNING // 2}"  # of each of the engine's two processes
    with serving(
        "uvicorn", f"audience.asgi:{case.application}", PYTHON, environment(kind, name)
    ) as server:
        with Crowd(server.port, paths[:1]) as crowd:
            crowd.gather(20)
            alone = _held(server)
        with Crowd(server.port, paths) as crowd:
            opened = crowd.gather(OPENING)
            full = _held(server)
            idle, _ = _used(server, crowd, seconds)
            with running(slots, "--shutdown-timeout=0"):
                PAUSE.wait(WARM_UP)
                busy, events = _used(server, crowd, seconds)
                working = _held(server)
                streams = min(opened, crowd.inside)
    return Cost(
        streams=streams,
        threads=max(full.threads, working.threads),
        held=min(full.held, working.held),
        for_streams=min(full.held, working.held) - alone.held,
        most=max(full.most, working.most),
        memory=KIBIBYTES * (full.memory - alone.memory) / max(1, opened - 1),
        idle=idle,
        busy=busy,
        events=events,
    )


class Held(NamedTuple):
    """What one process has.

    Attributes:
        threads: the most of some samples.
        held: connections to the database, the least of the samples.
        most: the most.
        memory: PSS in MiB.
    """

    threads: int
    held: int
    most: int
    memory: float


def _held(server: Server) -> Held:
    process = server.serving()
    threads, connections = [], []
    for _ in range(SAMPLES):
        threads.append(process.num_threads())
        connections.append(server.connections())
        PAUSE.wait(0.1)
    memory = proportional_memory([process.pid])
    return Held(max(threads), min(connections), max(connections), memory)


def _used(server: Server, crowd: Crowd, seconds: float) -> tuple[float, float]:
    """Return the percent of a core that are used for some seconds, and events read per second."""
    pid = server.serving().pid
    begun, before, read = time.monotonic(), processor_seconds([pid]), crowd.events
    PAUSE.wait(seconds)
    took = time.monotonic() - begun
    used = spent(before, processor_seconds([pid]))
    return 100 * used / took, (crowd.events - read) / took


def _line(kind: str, case: Case, cost: Cost) -> str:
    cells = [
        f"{case.jobs:,}",
        f"{cost.streams:,}",
        f"{cost.threads:,}",
        f"{cost.held:,}",
        f"{cost.most:,}",
        f"{number(cost.memory)} KiB",
        f"{cost.idle:.0f} %",
        f"{cost.busy:.0f} %",
        f"{cost.events:,.0f}",
    ]
    return f"| {kind} | {case.name} | {' | '.join(cells)} |"
