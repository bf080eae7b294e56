"""The table of goals."""

from __future__ import annotations

import pytest

from live_pages.goals import Goal, number, table


@pytest.mark.parametrize(
    ("goal", "row"),
    [
        (Goal("p50", 25, 50, "ms"), "| p50 | 25.0 ms | 50.0 ms | 0.50 |"),
        (Goal("p50", 75, 50, "ms"), "| p50 | 75.0 ms | 50.0 ms | 1.50 |"),
        (Goal("threads", 20, 20), "| threads | 20.0 | 20.0 | 1.00 |"),
        (Goal("held", 0, 0), "| held | 0 | 0 | reached |"),
        (Goal("held", -1, 0), "| held | -1 | 0 | reached |"),
        (Goal("held", 1, 0), "| held | 1 | 0 | missed |"),
    ],
)
def test_a_row_contains_the_ratio_to_the_limit(goal, row):
    assert table([goal]).splitlines()[2:] == [row]


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.96, "100.0"), (9.876, "9.88"), (0.001234, "0.00123")]
)
def test_a_number_has_its_significant_digits(value, text):
    assert number(value) == text
