"""The query plans of the commands' queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

ANSWERED_BY_INDEX = ("Select tables optimized away", "No matching min/max row")
"""MariaDB's plan for a minimum that it read from an index while planning."""


def explain_queries(action: Callable[[], Any]) -> list[str]:
    """Return the plan of each query of an action, as if its table had many rows."""
    with CaptureQueriesContext(connection) as queries:
        action()
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    plans = []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        for query in queries.captured_queries:
            cursor.execute(explain + query["sql"].replace("%", "%%"))
            plans.append(str(cursor.fetchall()))
    return [plan for plan in plans if not any(text in plan for text in ANSWERED_BY_INDEX)]
