"""What it costs a page to show 200 changes a second, and how it answers clicks meanwhile."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from audience.browser import Look, Tab
from audience.goals import Goal, number, table
from load.engine import PAUSE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from audience.sites import Shown

JOBS, STEPS, SPACING = 50, 100, 0.2
"""Each job says five times a second how far it is; four of these reach a page that streams."""
SLOWER = 4
"""As a phone of the middle class."""
BETWEEN_CLICKS = 0.3
HEAD = """\
| page | states/s that came | layouts per state | layout | forced layout | main thread busy \
| layout shift | INP of clicks |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


class Plan(NamedTuple):
    """Attributes:
    runs: of each page, in turns; the median counts.
    seconds: in which nobody touches the page.
    clicks: after that.
    """

    runs: int
    seconds: float
    clicks: int


def drawing(browser: Browser, sites: Sequence[Shown], plan: Plan) -> str:
    """Return Markdown."""
    found: dict[str, list[Look]] = defaultdict(list)
    for _ in range(plan.runs):
        for site in sites:
            found[site.name].append(_watch(browser, site, plan))
    lines = [HEAD, *(_line(name, _median(looks), plan) for name, looks in found.items())]
    mine = _median(found[sites[0].name])
    goals = [
        Goal("layouts per state", mine.layouts / mine.states, 1),
        Goal("forced layout", mine.forced_ms, 0, "ms"),
        Goal("layout shift", mine.shift, 0.01),
        Goal("INP", mine.longest_ms, 200, "ms"),
    ]
    return "\n".join([*lines, "", table(goals)])


def _watch(browser: Browser, site: Shown, plan: Plan) -> Look:
    """Watch jobs in a slow browser: first without a touch, so that each layout shift counts."""
    ends = time.monotonic() + STEPS * SPACING + 2
    query = f"?jobs={JOBS}&steps={STEPS}&pause={SPACING}"
    with Tab(browser, site.url + query, SLOWER) as tab:
        tab.wait_for(f"() => noticed.states > {2 * JOBS}")
        before = tab.look()
        tab.rest(plan.seconds)
        seen = tab.look().since(before)
        box = tab.page.locator("#count").bounding_box()
        if box is None:
            raise RuntimeError("The page has nothing to click on.")
        for _ in range(plan.clicks):  # by time, whatever the page does
            tab.page.mouse.click(box["x"] + 5, box["y"] + 5)
            tab.rest(BETWEEN_CLICKS)
        longest = tab.look().longest_ms
    PAUSE.wait(max(0.0, ends - time.monotonic()))  # the next page finds a quiet machine
    return Look(**{**vars(seen), "longest_ms": longest})


def _median(looks: Sequence[Look]) -> Look:
    names = [field.name for field in fields(Look)]
    return Look(**{name: median(getattr(look, name) for look in looks) for name in names})


def _line(name: str, look: Look, plan: Plan) -> str:
    cells = [
        number(look.states / plan.seconds),
        f"{look.layouts / look.states:.2f}",
        f"{number(look.layout_ms)} ms",
        f"{number(look.forced_ms)} ms",
        f"{look.busy_ms / plan.seconds / 10:.0f} %",
        f"{look.shift:.3f}",
        f"{look.longest_ms:.0f} ms" if look.longest_ms else "< 16 ms",
    ]
    return f"| {name} | {' | '.join(cells)} |"
