"""The time from the finish of a job until the page shows it."""

from __future__ import annotations

from collections import defaultdict
from statistics import median, quantiles
from typing import TYPE_CHECKING

from live_pages.browser import Tab
from live_pages.goals import Goal, number, table

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TRANSPORTS = {
    "`<task-status>`, stream": "element/?transport=stream",
    "small client, WebSocket": "websocket/?",
    "plain SSE view": "sse-view/?",
    "`<task-status>`, polling": "element/?transport=poll",
}
STREAM = next(iter(TRANSPORTS))
JOBS = 20
STAGGERED = "&steps=1&pause=2&spread=0.2"
"""The first job of a page finishes after two seconds, the others one after the other."""
HEAD = "| database | shown by | jobs | p50 | p99 |\n| --- | --- | ---: | ---: | ---: |"


def measure_paint_times(browser: Browser, address: str, rounds: int) -> dict[str, dict[str, float]]:
    """Show jobs with each transport in turn.

    Args:
        browser: the browser.
        address: address of the site.
        rounds: number of pages for each transport.

    Returns:
        For each transport and job, when its final state was painted, in ms since 1970.
    """
    painted: dict[str, dict[str, float]] = defaultdict(dict)
    for _ in range(rounds):
        for name, path in TRANSPORTS.items():
            with Tab(browser, f"{address}/{path}&jobs={JOBS}{STAGGERED}") as tab:
                tab.wait_for(f"() => Object.keys(pageMetrics.painted).length >= {JOBS}")
                painted[name] |= tab.page.evaluate("pageMetrics.painted")
    return painted


def paint_latency(kind: str, painted: dict[str, dict[str, float]]) -> str:
    """Return Markdown.

    Args:
        kind: kind of the database.
        painted: result of `measure_paint_times`.
    """
    from offload.models import Job  # noqa: PLC0415  # needs the app registry

    rows = Job.objects.filter(finished_at__isnull=False).values_list("pk", "finished_at")
    finished = {str(pk): 1000 * finished_at.timestamp() for pk, finished_at in rows}
    lines, goals = [HEAD], []
    for name, times in painted.items():
        latencies = [time - finished[pk] for pk, time in times.items()]
        p50 = median(latencies)
        p99 = quantiles(latencies, n=100, method="inclusive")[98]
        lines.append(
            f"| {kind} | {name} | {len(latencies)} | {number(p50)} ms | {number(p99)} ms |"
        )
        if name == STREAM:
            goals.append(Goal(f"p50 of the stream, {kind}", p50, 50, "ms"))
    return "\n".join([*lines, "", table(goals)])
