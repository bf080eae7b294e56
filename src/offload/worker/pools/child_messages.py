"""What a child process sends, checked: nothing else of it enters the worker."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

from offload.lifecycle import TRANSITIONS, JobState, succeeded
from offload.store.limit_records import LimitNumbers
from offload.worker.child.channel import Channel, MalformedMessage, MessageKind
from offload.worker.runners.slot_table import SlotTable

_STATES = frozenset(map(int, TRANSITIONS[JobState.RUNNING]))
_TYPES_OF_OUTCOMES = set(
    product([int], [str, type(None)], [float, int], [bool], [bool], [tuple, type(None)], [bool])
)
_SUCCESS = tuple(succeeded("null"))
_TYPES_OF_FAILURE = (str, str, str)
_TYPES_OF_PATHS = {"max_running_path": [str], "weight_path": [str]}
_TYPES_OF_NUMBERS = [int, type(None)]


class MessageReader:
    """Reads the messages of one child.

    Args:
        channel: the worker's end of the connection.
        slots: where the child counts what it has sent.
    """

    def __init__(self, channel: Channel, slots: SlotTable) -> None:
        self._channel = channel
        self._slots = slots
        self._received = 0

    def read(self) -> Iterator[tuple[Any, ...]]:
        """Yield the messages that have arrived; each has the form that `MessageKind` describes.

        Raises:
            MalformedMessage: the child sent something else, or other bytes hide its messages.
        """
        sent = self._slots.sent  # before the look at what has arrived
        for message in self._channel.receive():
            _check(message)
            self._received += 1
            yield message
        if self._received < sent and not self._channel.is_behind:
            raise MalformedMessage("bytes between its messages")


def _check(message: tuple[Any, ...]) -> None:
    try:
        is_good = _is_known(message)
    except (TypeError, ValueError, IndexError):
        is_good = False
    if not is_good:
        raise MalformedMessage(f"a message of an unknown form ({repr(message)[:200]})")


def _is_known(message: tuple[Any, ...]) -> bool:
    match message:
        case MessageKind.FINISHED, list(rows):
            return _are_finished_rows(rows)
        case MessageKind.PROGRESS, dict(progress):
            return all(map(_is_progress, progress.items()))
        case MessageKind.LIMITS, int(), dict(numbers):
            return all(map(_are_limits, numbers.items()))
        case (MessageKind.READY | MessageKind.EXHAUSTED,):
            return True
    return False


def _are_finished_rows(rows: list[Any]) -> bool:
    """Return whether all rows have the right form; short, as it sees each job."""
    for number, outcome, seconds in rows:
        if type(number) is not int or not (seconds is None or 0 <= seconds < math.inf):
            return False
        if outcome[2:] == _SUCCESS[2:]:
            state, value = outcome[:2]
            if state not in _STATES or not (value is None or type(value) is str):
                return False
        elif not _is_outcome(outcome):
            return False
    return True


def _is_outcome(outcome: Any) -> bool:
    state, _, delay, _, _, failure, _ = outcome
    return (
        tuple(map(type, outcome)) in _TYPES_OF_OUTCOMES
        and state in _STATES
        and 0 <= delay < math.inf
        and (failure is None or tuple(map(type, failure)) == _TYPES_OF_FAILURE)
    )


def _is_progress(item: Any) -> bool:
    (job, fence), text = item
    return type(job) is str and type(fence) is int and type(text) is str


def _are_limits(item: Any) -> bool:
    """Return whether the limits of a backend have readable numbers."""
    alias, limits = item
    if type(alias) is not str or type(limits) is not dict:
        return False
    for name, text in limits.items():
        numbers = LimitNumbers.from_json(text)  # raises what `_check` expects
        if type(name) is not str:
            return False
        for field, value in numbers._asdict().items():
            if type(value) not in _TYPES_OF_PATHS.get(field, _TYPES_OF_NUMBERS):
                return False
    return True
