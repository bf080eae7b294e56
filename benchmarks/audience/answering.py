"""How soon a click that starts a job is answered: by the server, and on the screen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from audience.browser import Tab
from audience.goals import Goal, number, table

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from audience.sites import Shown

BUTTON = "#start button"
HEAD = """\
| page | first byte p50 | slowest | first feedback p50 | slowest |
| --- | ---: | ---: | ---: | ---: |"""


def answering(browser: Browser, sites: Sequence[Shown], rounds: int) -> str:
    """Click in turns, once more than is counted; return Markdown."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds + 1):
        for site in sites:
            found[site.name].append(_click(browser, site))
    lines = [HEAD]
    for name, times in found.items():
        figures = [f"{number(each(column))} ms" for column in _columns(times) for each in SUMS]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    first_byte, feedback = (median(column) for column in _columns(found[sites[0].name]))
    goals = [
        Goal("first byte of the start view, p50", first_byte, 50, "ms"),
        Goal("first feedback, p50", feedback, 100, "ms"),
    ]
    return "\n".join([*lines, "", table(goals)])


SUMS = (median, max)


def _columns(times: list[tuple[float, float]]) -> list[tuple[float, ...]]:
    """Return the times of each kind; the first click only warms up."""
    return list(zip(*times[1:], strict=True))


def _click(browser: Browser, site: Shown) -> tuple[float, float]:
    """Return milliseconds until the first byte of the answer, and until something can be seen."""
    with Tab(browser, site.url) as tab:
        tab.page.click(BUTTON)
        first_byte, feedback = tab.wait_for("() => answer()")
        return first_byte, feedback
