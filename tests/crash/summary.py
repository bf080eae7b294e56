"""The crash table at the end of a test run: one row for each failpoint, action and database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from tests.crash.verdict import Verdict

PROPERTY = "crash"
COUNTS = ("jobs", "lost", "stale", "doubled", "unexplained")
HEAD = "failpoint:action", "database", "tests", "jobs", "lost", "stale", "doubled", "unexplained"


def keep(record_property: Any, place: str, verdict: Verdict) -> None:
    """Record a test's numbers in its report, which xdist sends to the main process."""
    lists = (verdict.lost, verdict.stale, verdict.doubled, verdict.unexplained)
    record_property(PROPERTY, [place, connection.display_name, verdict.jobs, *map(len, lists)])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * (1 + len(COUNTS)))
    for place, database, *counts in _recorded(terminalreporter):
        row = sums[place, database]
        for column, count in enumerate([1, *counts]):
            row[column] += count
    if not sums:
        return
    terminalreporter.section("crash table", sep="-")
    line = "{:<36} {:<11} {:>5} {:>6} {:>5} {:>6} {:>8} {:>12}"
    terminalreporter.write_line(line.format(*HEAD))
    for (place, database), row in sorted(sums.items()):
        terminalreporter.write_line(line.format(place, database, *row))
    totals = [sum(column) for column in zip(*sums.values(), strict=True)]
    terminalreporter.write_line(line.format("all", "", *totals))


def _recorded(terminalreporter: Any) -> Iterator[list[Any]]:
    """Yield the numbers that `keep` recorded for each test."""
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            if getattr(report, "when", "") == "call":
                yield from (value for name, value in report.user_properties if name == PROPERTY)
