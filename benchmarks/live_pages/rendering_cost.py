"""The cost of showing 200 changes a second, and the latency of clicks meanwhile."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from live_pages.browser import PageMetrics, Tab
from live_pages.goals import Goal, number, table
from load.worker import PAUSE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from live_pages.sites import Site

JOBS, STEPS, STEP_SECONDS = 50, 100, 0.2
"""Each job reports progress five times a second; a stream sends four of these to the page."""
SLOWDOWN = 4
"""Slowdown of the processor to that of a mid-range phone."""
SECONDS_BETWEEN_CLICKS = 0.3
HEAD = """\
| page | updates/s received | layouts per update | layout | forced layout | main thread busy \
| layout shift | INP of clicks |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


class Plan(NamedTuple):
    """The extent of the measurement.

    Attributes:
        runs: pages of each site, in turn; the median counts.
        seconds: duration without input.
        clicks: number of clicks after that.
    """

    runs: int
    seconds: float
    clicks: int


def rendering_cost(browser: Browser, sites: Sequence[Site], plan: Plan) -> str:
    """Measure each site in turn; return Markdown."""
    runs: dict[str, list[PageMetrics]] = defaultdict(list)
    for _ in range(plan.runs):
        for site in sites:
            runs[site.name].append(_measure_page(browser, site, plan))
    lines = [HEAD, *(_row(name, _median(metrics), plan) for name, metrics in runs.items())]
    ours = _median(runs[sites[0].name])
    goals = [
        Goal("layouts per update", ours.layouts / ours.updates, 1),
        Goal("forced layout", ours.forced_ms, 0, "ms"),
        Goal("layout shift", ours.shift, 0.01),
        Goal("INP", ours.longest_ms, 200, "ms"),
    ]
    return "\n".join([*lines, "", table(goals)])


def _measure_page(browser: Browser, site: Site, plan: Plan) -> PageMetrics:
    """Show jobs in a slow browser: first without input, so that each layout shift counts."""
    jobs_finished_at = time.monotonic() + STEPS * STEP_SECONDS + 2
    query = f"?jobs={JOBS}&steps={STEPS}&pause={STEP_SECONDS}"
    with Tab(browser, site.url + query, SLOWDOWN) as tab:
        tab.wait_for(f"() => pageMetrics.updates > {2 * JOBS}")
        before = tab.metrics()
        tab.wait(plan.seconds)
        without_input = tab.metrics().since(before)
        box = tab.page.locator("#count").bounding_box()
        if box is None:
            raise RuntimeError("The page has no button to click on.")
        for _ in range(plan.clicks):  # at fixed times, even if the page does not respond
            tab.page.mouse.click(box["x"] + 5, box["y"] + 5)
            tab.wait(SECONDS_BETWEEN_CLICKS)
        longest = tab.metrics().longest_ms
    # The jobs must not run on while the next page is measured.
    PAUSE.wait(max(0.0, jobs_finished_at - time.monotonic()))
    return PageMetrics(**{**vars(without_input), "longest_ms": longest})


def _median(runs: Sequence[PageMetrics]) -> PageMetrics:
    names = [field.name for field in fields(PageMetrics)]
    return PageMetrics(**{name: median(getattr(run, name) for run in runs) for name in names})


def _row(name: str, metrics: PageMetrics, plan: Plan) -> str:
    cells = [
        number(metrics.updates / plan.seconds),
        f"{metrics.layouts / metrics.updates:.2f}",
        f"{number(metrics.layout_ms)} ms",
        f"{number(metrics.forced_ms)} ms",
        f"{metrics.busy_ms / plan.seconds / 10:.0f} %",
        f"{metrics.shift:.3f}",
        f"{metrics.longest_ms:.0f} ms" if metrics.longest_ms else "< 16 ms",
    ]
    return f"| {name} | {' | '.join(cells)} |"
