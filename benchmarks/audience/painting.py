"""How soon after its end a job's end can be read on the screen."""

from __future__ import annotations

from collections import defaultdict
from statistics import median, quantiles
from typing import TYPE_CHECKING

from audience.browser import Tab
from audience.goals import Goal, number, table

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TRANSPORTS = {
    "`<task-status>`, stream": "element/?transport=stream",
    "small client, WebSocket": "socket/?",
    "plain SSE view": "by-hand/?",
    "`<task-status>`, polling": "element/?transport=poll",
}
STREAM = next(iter(TRANSPORTS))
JOBS = 20
SPACED = "&steps=1&pause=2&spread=0.2"
"""Of the jobs of one page the first ends after two seconds, the others one after the other."""
HEAD = "| database | shown by | jobs | p50 | p99 |\n| --- | --- | ---: | ---: | ---: |"


def paint(browser: Browser, address: str, rounds: int) -> dict[str, dict[str, float]]:
    """Show jobs in turns; return when the end of each was painted, in ms since 1970.

    Args:
        browser: in which they are shown.
        address: of the site.
        rounds: how often each transport is tried.
    """
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for _ in range(rounds):
        for name, path in TRANSPORTS.items():
            with Tab(browser, f"{address}/{path}&jobs={JOBS}{SPACED}") as tab:
                tab.wait_for(f"() => Object.keys(noticed.painted).length >= {JOBS}")
                found[name] |= tab.page.evaluate("noticed.painted")
    return found


def painting(kind: str, painted: dict[str, dict[str, float]]) -> str:
    """Return Markdown.

    Args:
        kind: of the database.
        painted: what `paint` returned.
    """
    from offload.models import Job  # noqa: PLC0415  # needs the app registry

    rows = Job.objects.filter(finished_at__isnull=False).values_list("pk", "finished_at")
    ended = {str(pk): 1000 * at.timestamp() for pk, at in rows}
    lines, goals = [HEAD], []
    for name, times in painted.items():
        late = [at - ended[pk] for pk, at in times.items()]
        p99 = quantiles(late, n=100, method="inclusive")[98]
        figures = f"{number(median(late))} ms | {number(p99)} ms"
        lines.append(f"| {kind} | {name} | {len(late)} | {figures} |")
        if name == STREAM:
            goals.append(Goal(f"p50 of the stream, {kind}", median(late), 50, "ms"))
    return "\n".join([*lines, "", table(goals)])
