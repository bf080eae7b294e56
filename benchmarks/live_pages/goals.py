"""Measured values, compared with their goals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Goal(NamedTuple):
    """A measured value and its upper limit.

    Attributes:
        name: name of the measurement.
        measured: measured value.
        at_most: upper limit.
        unit: unit of both.
    """

    name: str
    measured: float
    at_most: float
    unit: str = ""


def table(goals: Sequence[Goal]) -> str:
    """Return a table in which a ratio of at most 1 means that the goal is reached."""
    lines = ["| goal | measured | at most | ratio |", "| --- | ---: | ---: | ---: |"]
    return "\n".join([*lines, *map(_row, goals)])


def number(value: float) -> str:
    """Format a value with three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _row(goal: Goal) -> str:
    if goal.at_most:
        ratio = f"{goal.measured / goal.at_most:.2f}"
    else:
        ratio = "reached" if goal.measured <= 0 else "missed"
    unit = f" {goal.unit}" if goal.unit else ""
    limit = f"{number(goal.at_most)}{unit}"
    return f"| {goal.name} | {number(goal.measured)}{unit} | {limit} | {ratio} |"
