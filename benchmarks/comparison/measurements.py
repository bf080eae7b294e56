"""Measured numbers, by contender, configuration and name."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

ANY_CONFIG = ""
"""The configuration of a measurement that does not depend on workers."""


class Measurements:
    """A list of numbers for each contender, configuration and name: one number per run."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def add(self, contender: str, config: str, name: str, number: float | None) -> None:
        if number is not None:
            self._numbers[contender, config, name].append(number)

    def median(self, contender: str, config: str, name: str) -> float | None:
        numbers = self._numbers.get((contender, config, name))
        return statistics.median(numbers) if numbers else None

    def span(self, contender: str, config: str, name: str) -> tuple[float, float] | None:
        """Return the lowest and the highest number, or None for a single run."""
        numbers = self._numbers.get((contender, config, name), [])
        return (min(numbers), max(numbers)) if len(numbers) > 1 else None

    def all(self, name: str) -> list[float]:
        """Return the numbers of this name of all contenders and configurations."""
        return [n for key, numbers in self._numbers.items() if key[2] == name for n in numbers]


def quantile(numbers: Sequence[float], part: float) -> float | None:
    """Return the number below which this part of the numbers lies."""
    if not numbers:
        return None
    return sorted(numbers)[min(int(len(numbers) * part), len(numbers) - 1)]
