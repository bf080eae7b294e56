"""The time that a web server with open streams takes to stop."""

from __future__ import annotations

import sys
import time

from live_pages.goals import Goal, table
from live_pages.servers import serving
from live_pages.sites import PYTHON
from live_pages.stream_clients import StreamClients
from load.database import delete_jobs, environment

STREAMS = 100
TIMEOUT_SECONDS = 20
"""Seconds after which a server is killed."""
APPLICATIONS = {
    "`offload.asgi`": ("with_streams", "/tasks/events/?ids="),
    "plain SSE view": ("django", "/sse-view/events/?ids="),
}
OURS = next(iter(APPLICATIONS))
HEAD = """\
| server | streams by | streams | received a close event | stopped after |
| --- | --- | ---: | ---: | ---: |"""


def server_shutdown(kind: str, name: str, servers: list[str]) -> str:
    """Stop servers, one after the other; return Markdown.

    Args:
        kind: kind of the database.
        name: name of the database.
        servers: names in COMMANDS.
    """
    lines, goals = [HEAD], []
    for server in servers:
        for label in APPLICATIONS:
            opened, closed, seconds = _stop(server, label, kind, name)
            print(f"{server}, {label}: {seconds}", file=sys.stderr, flush=True)
            if seconds is None:
                stopped = f"still running after {TIMEOUT_SECONDS} s"
            else:
                stopped = f"{seconds:.1f} s"
            lines.append(f"| {server} | {label} | {opened} | {closed} | {stopped} |")
            if label == OURS:
                goals.append(Goal(f"shutdown, {server}", seconds or TIMEOUT_SECONDS, 5, "s"))
    return "\n".join([*lines, "", table(goals)])


def _stop(server: str, label: str, kind: str, name: str) -> tuple[int, int, float | None]:
    """Return the numbers of open streams and close events, and the seconds, None on timeout."""
    from live_pages.tasks import count  # noqa: PLC0415  # needs the app registry

    delete_jobs()
    application, path = APPLICATIONS[label]
    path += count.enqueue(1, 0.0).id
    env = environment(kind, name)
    with (
        serving(server, f"live_pages.asgi:{application}", PYTHON, env) as process,
        StreamClients(process.port, [path] * STREAMS) as clients,
    ):
        opened = clients.wait_until_open(60)
        started = time.monotonic()
        has_stopped = process.stop(TIMEOUT_SECONDS)
        seconds = time.monotonic() - started
        return opened, len(clients.closed), seconds if has_stopped else None
