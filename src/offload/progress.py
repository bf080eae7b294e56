"""The progress of a job: as reported by its code, as stored, and as shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from numbers import Real
from operator import index
from typing import Any, NamedTuple

from django.utils.functional import Promise

from offload.text import to_single_line

type Number = int | float

READ_INTERVAL = 0.5
"""Seconds between two reads of a reporter that changed a little."""
MIN_READ_INTERVAL = 0.1
"""Seconds between two reads if it advanced by a hundredth, or to another step."""
MAX_NUMBER = 2**53
"""The largest number that browsers still count exactly."""
MAX_MESSAGE_CHARS = 200
"""Characters kept of a message."""
MAX_STEP_NAME_CHARS = 100
"""Characters kept of a step's name."""

PLAIN_TYPES = frozenset({int, float, type(None)})
"""Types of numbers that need no conversion."""


class Step(NamedTuple):
    """One of several steps: `(2, 3, "Import")` is the second of three."""

    number: int
    of: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a job, or its last progress if it has finished.

    Attributes:
        done: how much is done; None if the task did not report it.
        total: of how much; None if unknown.
        message: the current activity, as reported by the task.
        step: the current step, or None.
        updated_at: time of the report; always aware, in UTC.
    """

    done: Number | None
    total: Number | None
    message: str
    step: Step | None
    updated_at: datetime

    @property
    def percent(self) -> float | None:
        """Percentage done; None if the total is unknown or zero."""
        if self.done is None or not self.total:
            return None
        return 100 * self.done / self.total

    @classmethod
    def from_json(cls, text: str | None) -> Progress | None:
        """Return the progress stored in a row; None if it has none, or a damaged one."""
        try:
            values = json.loads(text or "null") or {}
            return cls(
                _read_number(values.get("done")),
                _read_number(values.get("total")),
                str(values.get("message") or ""),
                _read_step(values.get("step")),
                datetime.fromisoformat(values["updated_at"]).astimezone(UTC),
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None


def _read_number(value: Any) -> Number | None:
    """Return a number of a row; None for anything else, also if JSON has no such number."""
    return _clamp(value, MAX_NUMBER) if type(value) in PLAIN_TYPES else None


def _read_step(values: Any) -> Step | None:
    if not values:
        return None
    number, of = _read_number(values["number"]), _read_number(values.get("of"))
    # A damaged number is None, which a page shows as an unknown one.
    return Step(number, of, str(values.get("name") or ""))  # type: ignore[arg-type]


def note_of(text: str | None) -> Note:
    """Return the note that is stored beside the progress in a row; an empty one without it."""
    try:
        note = (json.loads(text or "null") or {}).get("note")
    except (ValueError, AttributeError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


type Note = Mapping[str, Any]
"""Exact JSON that another interface for tasks, such as `offload.celery`, stores of an attempt."""

type ProgressValues = tuple[Number | None, Number | None, str, Step | None]
"""Done, total, message and step."""

type OnProgress = Callable[[ProgressReporter], None]
"""Called with a reporter that changed since its last read."""


def ignore_progress(reporter: ProgressReporter) -> None:
    """Do nothing, where progress is not stored."""


class ProgressReporter:
    """The progress that a running task last reported.

    The task's threads write it. Another thread reads it at intervals, so reporting stays cheap.

    Args:
        key: id and fence of the claimed job.
        on_progress: called when the progress changes for the first time since the last read.
    """

    __slots__ = (
        "_is_closed",
        "_on_progress",
        "_read",
        "_read_at",
        "_read_note",
        "is_changed",
        "key",
        "latest",
        "note",
    )

    def __init__(self, key: tuple[str, int], on_progress: OnProgress) -> None:
        self.key = key
        self.latest: ProgressValues = (None, None, "", None)
        self.note: Note | None = None
        """What is stored beside the progress; replaced as a whole, and never changed."""
        self.is_changed = False
        """Whether `latest` changed since the last read, and `on_progress` was called for it."""
        self._on_progress = on_progress
        self._read: ProgressValues = self.latest
        self._read_note: Note | None = None
        self._read_at = float("-inf")
        self._is_closed = False

    def publish(self) -> None:
        """Announce that `latest` has changed."""
        if not self._is_closed:
            self.is_changed = True
            self._on_progress(self)

    def close(self) -> None:
        """Ignore further changes: the attempt has finished."""
        self._is_closed = True

    def is_due(self, now: float) -> bool:
        """Return whether to read it at `now` (seconds of the monotonic clock)."""
        elapsed = now - self._read_at
        if self._is_closed or elapsed >= READ_INTERVAL:
            return True
        return elapsed >= MIN_READ_INTERVAL and self._has_advanced()

    def read(self, now: float) -> str:
        """Return the current progress as stored, and mark it as read at `now`."""
        self.is_changed = False  # before the read: a change in between is announced again
        self._read, self._read_note, self._read_at = self.latest, self.note, now
        return _to_json(*self._read, self._read_note)

    def snapshot(self) -> str:
        """Return the current progress as stored, without marking it as read."""
        return _to_json(*self.latest, self.note)

    def _has_advanced(self) -> bool:
        """Return whether people would notice the change since the last read."""
        done, total, _, step = self.latest
        last_done, last_total, _, last_step = self._read
        if step != last_step or total != last_total or self.note is not self._read_note:
            return True
        if (done is None) != (last_done is None):
            return True
        if not total:
            return False
        current = _clamp(done, MAX_NUMBER) or 0
        previous = _clamp(last_done, MAX_NUMBER) or 0
        one_percent = (_clamp(total, MAX_NUMBER) or MAX_NUMBER) / 100
        return abs(current - previous) >= one_percent


def validate_progress(
    done: Any, total: Any, message: Any
) -> tuple[Number | None, Number | None, str]:
    """Return the arguments of a progress report as plain types.

    Raises:
        TypeError: if `done` or `total` is not a number, or `message` not text.
    """
    return _to_number(done, "done"), _to_number(total, "total"), _to_text(message)


def validate_step(step: Any) -> Step:
    """Return the step of a progress report.

    Raises:
        TypeError: if it is not a step.
    """
    try:
        return _to_step(step)
    except TypeError:
        raise TypeError(
            f"progress() takes step as (number, of, name), such as (2, 3, 'Import'), not {step!r}."
        ) from None


@lru_cache(maxsize=100)
def _to_step(step: Any) -> Step:
    if not isinstance(step, tuple):
        raise TypeError
    number, of, name = Step(*step)
    return Step(index(number), None if of is None else index(of), _to_text(name))


def _to_text(message: Any) -> str:
    if not isinstance(message, str | Promise):
        raise TypeError(f"progress() takes message as text, not {message!r}.")
    return str(message)  # here, where the task's language is active


def _to_number(value: Any, name: str) -> Number | None:
    if type(value) in PLAIN_TYPES:
        return value  # type: ignore[no-any-return]  # int, float or None
    is_text = isinstance(value, str | bytes)
    if not is_text:
        with suppress(TypeError):
            return index(value)
    if isinstance(value, Real | Decimal):
        try:
            return float(value)
        except (ValueError, OverflowError):  # a signalling NaN, a fraction too large
            return None
    raise TypeError(f"progress() takes {name} as a number or None, not {value!r}.")


def _to_json(
    done: Number | None,
    total: Number | None,
    message: str,
    step: Step | None,
    note: Note | None = None,
) -> str:
    """Return progress as JSON text; impossible values are corrected, since no job may fail."""
    total = _clamp(total, MAX_NUMBER)
    values: dict[str, Any] = {
        "done": _clamp(done, MAX_NUMBER if total is None else total),
        "total": total,
        "message": to_single_line(message, max_chars=MAX_MESSAGE_CHARS) or None,
    }
    if step is not None:
        of = _clamp(step.of, MAX_NUMBER)
        number = _clamp(step.number, MAX_NUMBER if of is None else of)
        name = to_single_line(step.name, max_chars=MAX_STEP_NAME_CHARS)
        values["step"] = {"number": number, "of": of, "name": name}
    values["note"] = note
    values["updated_at"] = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    values = {key: value for key, value in values.items() if value is not None}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _clamp(value: Number | None, maximum: Number) -> Number | None:
    """Return a number from 0 to `maximum`; None for NaN and the infinities."""
    if value is None or value - value != 0:  # true for NaN and the infinities
        return None
    return min(max(value, 0), maximum)
