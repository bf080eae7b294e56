"""What is measured beside what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Goal(NamedTuple):
    """Attributes:
    name: of what is measured.
    measured: the figure.
    most: what it may be at most.
    unit: of both.
    """

    name: str
    measured: float
    most: float
    unit: str = ""


def table(goals: Sequence[Goal]) -> str:
    """Return a table in which a ratio of at most 1 means that the goal is reached."""
    lines = ["| goal | measured | at most | ratio |", "| --- | ---: | ---: | ---: |"]
    return "\n".join([*lines, *map(_line, goals)])


def number(value: float) -> str:
    """Return a figure with as many digits as say something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _line(goal: Goal) -> str:
    if goal.most:
        ratio = f"{goal.measured / goal.most:.2f}"
    else:
        ratio = "reached" if goal.measured <= 0 else "missed"
    unit = f" {goal.unit}" if goal.unit else ""
    return f"| {goal.name} | {number(goal.measured)}{unit} | {number(goal.most)}{unit} | {ratio} |"
