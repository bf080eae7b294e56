"""The latency of a click that starts a job: until the response, and until visible feedback."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from live_pages.browser import Tab
from live_pages.goals import Goal, number, table

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from live_pages.sites import Site

BUTTON = "#start button"
HEAD = """\
| page | first byte p50 | slowest | first feedback p50 | slowest |
| --- | ---: | ---: | ---: | ---: |"""


def click_latency(browser: Browser, sites: Sequence[Site], rounds: int) -> str:
    """Click on each site in turn, with one warm-up round; return Markdown."""
    clicks: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds + 1):
        for site in sites:
            clicks[site.name].append(_click(browser, site))
    lines = [HEAD]
    for name, times in clicks.items():
        cells = [
            f"{number(summarize(column))} ms"
            for column in _columns(times)
            for summarize in (median, max)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    first_byte, feedback = (median(column) for column in _columns(clicks[sites[0].name]))
    goals = [
        Goal("first byte of the start view, p50", first_byte, 50, "ms"),
        Goal("first feedback, p50", feedback, 100, "ms"),
    ]
    return "\n".join([*lines, "", table(goals)])


def _columns(times: list[tuple[float, float]]) -> list[tuple[float, ...]]:
    """Return the times by kind, without those of the warm-up round."""
    return list(zip(*times[1:], strict=True))


def _click(browser: Browser, site: Site) -> tuple[float, float]:
    """Return milliseconds until the first byte of the response, and until visible feedback."""
    with Tab(browser, site.url) as tab:
        tab.page.click(BUTTON)
        first_byte, feedback = tab.wait_for("() => clickLatency()")
        return first_byte, feedback
