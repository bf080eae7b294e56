"""What was measured: lists of numbers by contender, configuration and name."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

ANY = ""
"""The configuration of what does not depend on workers."""


class Figures:
    """A list of numbers for each place and name; one number per run."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def add(self, contender: str, workers: str, name: str, number: float | None) -> None:
        if number is not None:
            self._numbers[contender, workers, name].append(number)

    def median(self, contender: str, workers: str, name: str) -> float | None:
        numbers = self._numbers.get((contender, workers, name))
        return statistics.median(numbers) if numbers else None

    def span(self, contender: str, workers: str, name: str) -> tuple[float, float] | None:
        numbers = self._numbers.get((contender, workers, name), [])
        return (min(numbers), max(numbers)) if len(numbers) > 1 else None

    def all(self, name: str) -> list[float]:
        """Return the numbers of this name, whoever they are of."""
        return [n for key, numbers in self._numbers.items() if key[2] == name for n in numbers]


def quantile(numbers: Sequence[float], part: float) -> float | None:
    """Return the number below which this part of the numbers lies."""
    if not numbers:
        return None
    return sorted(numbers)[min(int(len(numbers) * part), len(numbers) - 1)]
