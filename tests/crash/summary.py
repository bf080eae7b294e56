"""The crash table at the end of a test run: faults by failpoint and database."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from tests.crash.verdict import Verdict

CELL = "crash"
COUNTS = ("jobs", "lost", "stale", "doubled", "unexplained")
HEAD = "failpoint:action", "database", "cells", "jobs", "lost", "stale", "doubled", "unexplained"


def keep(record_property: Any, place: str, verdict: Verdict) -> None:
    """Record a cell's numbers in the test's report, which xdist sends to the main process."""
    lists = (verdict.lost, verdict.stale, verdict.doubled, verdict.unexplained)
    record_property(CELL, [place, connection.display_name, verdict.jobs, *map(len, lists)])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * (1 + len(COUNTS)))
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            if getattr(report, "when", "") != "call":
                continue
            for name, value in report.user_properties:
                if name == CELL:
                    place, database, *counts = value
                    row = sums[place, database]
                    row[:] = [a + b for a, b in zip(row, [1, *counts], strict=True)]
    if not sums:
        return
    terminalreporter.section("crash table", sep="-")
    line = "{:<36} {:<11} {:>5} {:>6} {:>5} {:>6} {:>8} {:>12}"
    terminalreporter.write_line(line.format(*HEAD))
    for (place, database), row in sorted(sums.items()):
        terminalreporter.write_line(line.format(place, database, *row))
    totals = [sum(column) for column in zip(*sums.values(), strict=True)]
    terminalreporter.write_line(line.format("all", "", *totals))
