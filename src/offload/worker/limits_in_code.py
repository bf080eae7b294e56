"""The limits of the tasks that a process has loaded."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache

from offload.store.limit_records import Definition, LimitNumbers
from offload.task_limits import LOADED_AT, defined_limits

logger = logging.getLogger("offload.worker")

type Numbers = dict[str, dict[str, str]]
"""The numbers of limits as JSON text, by the alias of the backend and the name of the limit."""


@dataclass(frozen=True, slots=True)
class LimitsInCode:
    """The limits of the tasks that a process has loaded, or several processes with equal code.

    Attributes:
        loaded_at: when the code was loaded, in microseconds.
        numbers: of the limits.
    """

    loaded_at: int = 0
    numbers: Numbers = field(default_factory=dict)

    def of_backend(self, alias: str) -> dict[str, Definition]:
        """Return the limits of a backend's tasks, by name."""
        numbers = self.numbers.get(alias, {})
        return {name: Definition(text, self.loaded_at) for name, text in numbers.items()}

    def merged_with(self, other: LimitsInCode) -> LimitsInCode:
        """Return the limits of two processes; of code that was loaded again, only the later ones.

        A process that was forked from another one has its code, and may have loaded more of it.
        """
        if self.loaded_at != other.loaded_at:
            return max(self, other, key=lambda limits: limits.loaded_at)
        merged = {alias: dict(numbers) for alias, numbers in self.numbers.items()}
        for alias, numbers in other.numbers.items():
            known = merged.setdefault(alias, {})
            known.update((name, _strictest(name, known, text)) for name, text in numbers.items())
        return LimitsInCode(self.loaded_at, merged)


def limits_in_code() -> LimitsInCode:
    """Return the limits of the tasks that this process has loaded."""
    numbers: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for limit in defined_limits():
        known = numbers[limit.backend]
        text = LimitNumbers(**limit.numbers).to_json()
        known[limit.name] = _strictest(limit.name, known, text)
    return LimitsInCode(LOADED_AT, dict(numbers))


def _strictest(name: str, known: dict[str, str], text: str) -> str:
    """Return the numbers of a limit, the smaller ones where its tasks disagree."""
    if known.get(name, text) == text:
        return text
    numbers = LimitNumbers.from_json(known[name]).strictest(LimitNumbers.from_json(text))
    _log_disagreement(name, known[name], text)
    return numbers.to_json()


@lru_cache(maxsize=100)
def _log_disagreement(name: str, first: str, second: str) -> None:
    """Log that tasks which share a limit disagree, once in each process."""
    logger.warning(
        "The tasks that share the limit %r have different numbers, %s and %s: the smaller ones "
        "hold. Give all of them the same Concurrency and the same Rate, or other names.",
        name,
        first,
        second,
    )
