"""How long a web server with open streams takes to stop."""

from __future__ import annotations

import sys
import time

from audience.crowd import Crowd
from audience.goals import Goal, table
from audience.servers import serving
from audience.sites import PYTHON
from load.database import empty, environment

STREAMS = 100
LIMIT = 20
"""Seconds after which a server is killed."""
WAYS = {
    "`offload.asgi`": ("beside", "/tasks/events/?ids="),
    "plain SSE view": ("django", "/by-hand/events/?ids="),
}
OURS = next(iter(WAYS))
HEAD = """\
| server | streams by | streams | told that they end | stopped after |
| --- | --- | ---: | ---: | ---: |"""


def stopping(kind: str, name: str, servers: list[str]) -> str:
    """Stop servers, one after the other; return Markdown.

    Args:
        kind: of the database.
        name: of the database.
        servers: names in COMMANDS.
    """
    lines, goals = [HEAD], []
    for server in servers:
        for way in WAYS:
            opened, told, seconds = _stop(server, way, kind, name)
            print(f"{server}, {way}: {seconds}", file=sys.stderr, flush=True)
            after = f"still there after {LIMIT} s" if seconds is None else f"{seconds:.1f} s"
            lines.append(f"| {server} | {way} | {opened} | {told} | {after} |")
            if way == OURS:
                goals.append(Goal(f"shutdown, {server}", seconds or LIMIT, 5, "s"))
    return "\n".join([*lines, "", table(goals)])


def _stop(server: str, way: str, kind: str, name: str) -> tuple[int, int, float | None]:
    """Return how many streams were open, how many were told, and the seconds; None for too many."""
    from audience.tasks import count  # noqa: PLC0415  # needs the app registry

    empty()
    application, path = WAYS[way]
    path += count.enqueue(1, 0.0).id
    env = environment(kind, name)
    with (
        serving(server, f"audience.asgi:{application}", PYTHON, env) as running,
        Crowd(running.port, [path] * STREAMS) as crowd,
    ):
        opened = crowd.gather(60)
        begun = time.monotonic()
        has_ended = running.stop(LIMIT)
        return opened, len(crowd.told), time.monotonic() - begun if has_ended else None
