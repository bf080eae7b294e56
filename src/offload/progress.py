"""How far a job is: what its code says, what is stored of it, and what people see."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from numbers import Real
from operator import index
from typing import Any, NamedTuple

from django.utils.functional import Promise

type Number = int | float

PAUSE = 0.5
"""Seconds after which what moved is told."""
SHORTEST_PAUSE = 0.1
"""Seconds after which it is told already if it moved by a hundredth, or to another step."""
MOST = 2**53
"""The largest number; above it browsers do not count in ones."""
LONGEST_MESSAGE = 200
LONGEST_NAME = 100
"""Characters that are kept of a message, and of a step's name."""

PLAIN = frozenset({int, float, type(None)})
"""Types of numbers that are taken as they are."""

# Control characters, which terminals, logs and databases take ill, and halves of characters.
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class Step(NamedTuple):
    """One of several steps: `(2, 3, "Import")` is the second of three."""

    number: int
    of: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, or was when it ended.

    Attributes:
        done: how much is done; None if the task did not say.
        total: of how much; None if that is not known.
        message: what the task said that it does.
        step: which step it is at, or None.
        updated_at: when it was so; always aware, in UTC.
    """

    done: Number | None
    total: Number | None
    message: str
    step: Step | None
    updated_at: datetime

    @property
    def percent(self) -> float | None:
        """How much is done of 100; None if the total is not known, or nothing."""
        if self.done is None or not self.total:
            return None
        return 100 * self.done / self.total

    @classmethod
    def from_json(cls, text: str | None) -> Progress | None:
        """Return what a row says, or None: nothing, or what somebody damaged."""
        try:
            values = json.loads(text or "null") or {}
            step = values.get("step")
            return cls(
                values.get("done"),
                values.get("total"),
                values.get("message") or "",
                Step(step["number"], step.get("of"), step.get("name") or "") if step else None,
                datetime.fromisoformat(values["updated_at"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


type ProgressValues = tuple[Number | None, Number | None, str, Step | None]
"""Done, total, message and step."""

type OnProgress = Callable[[ProgressReporter], None]
"""Called with a gauge that moved after it was read."""


def ignore_progress(gauge: ProgressReporter) -> None:
    """Stand in where nobody asks how far a job is."""


class ProgressReporter:
    """What the running task last said. Its threads write it; another one reads it now and then.

    Args:
        key: the job's id and run.
        tell: called when it moved after it was read.
    """

    __slots__ = ("_has_ended", "_read", "_read_at", "_tell", "is_moved", "key", "latest")

    def __init__(self, key: tuple[str, int], tell: OnProgress) -> None:
        self.key = key
        self.latest: ProgressValues = (None, None, "", None)
        self.is_moved = False
        """Whether it moved since it was read, and that was told."""
        self._tell = tell
        self._read: ProgressValues = self.latest
        self._read_at = float("-inf")
        self._has_ended = False

    def move(self) -> None:
        """Tell that `latest` has changed."""
        if not self._has_ended:
            self.is_moved = True
            self._tell(self)

    def end(self) -> None:
        """Hear no more: the attempt is over."""
        self._has_ended = True

    def is_due(self, now: float) -> bool:
        """Tell whether it should be read now (monotonic clock)."""
        pause = now - self._read_at
        return self._has_ended or pause >= PAUSE or (pause >= SHORTEST_PAUSE and self._is_far())

    def read(self, now: float) -> str:
        """Return where it stands, as it is stored."""
        self.is_moved = False  # before the look: what comes in between is told again
        self._read, self._read_at = self.latest, now
        return _stored(*self._read)

    def stand(self) -> str:
        """Return where it stands, as it is stored, and leave its reader to read it all the same."""
        return _stored(*self.latest)

    def _is_far(self) -> bool:
        (done, total, _, step), (was_done, was_total, _, was_step) = self.latest, self._read
        if step != was_step or total != was_total or (done is None) != (was_done is None):
            return True
        way = abs((_within(done, MOST) or 0) - (_within(was_done, MOST) or 0))
        return bool(total) and way >= (_within(total, MOST) or MOST) / 100


def validated(done: Any, total: Any, message: Any) -> tuple[Number | None, Number | None, str]:
    """Return what a task said in plain types.

    Raises:
        TypeError: for what is no number or no text.
    """
    return _number(done, "done"), _number(total, "total"), _text(message)


def validated_step(step: Any) -> Step:
    """Return a step that a task named.

    Raises:
        TypeError: for what is none.
    """
    try:
        return _known_step(step)
    except TypeError:
        raise TypeError(
            "progress() takes step as (number, of, name), such as (2, 3, 'Import'), "
            f"not as {step!r}."
        ) from None


@lru_cache(maxsize=100)
def _known_step(step: Any) -> Step:
    if not isinstance(step, tuple):
        raise TypeError
    number, of, name = Step(*step)
    return Step(index(number), None if of is None else index(of), _text(name))


def _text(message: Any) -> str:
    if not isinstance(message, str | Promise):
        raise TypeError(f"progress() takes message as text, not as {message!r}.")
    return str(message)  # here, where the task's language is active


def _number(value: Any, name: str) -> Number | None:
    if type(value) in PLAIN:
        return value  # type: ignore[no-any-return]  # int, float or None
    if not isinstance(value, str | bytes):
        with suppress(TypeError):
            return index(value)
        if isinstance(value, Real | Decimal):
            try:
                return float(value)
            except (ValueError, OverflowError):  # a signalling NaN, a fraction too large
                return None
    raise TypeError(f"progress() takes {name} as a number or None, not as {value!r}.")


def _stored(done: Number | None, total: Number | None, message: str, step: Step | None) -> str:
    """Return it as JSON text, within what can be: what cannot is mended, and fails no job."""
    total = _within(total, MOST)
    said: dict[str, Any] = {
        "done": _within(done, MOST if total is None else total),
        "total": total,
        "message": _printable(message, LONGEST_MESSAGE) or None,
    }
    if step is not None:
        of = _within(step.of, MOST)
        number = _within(step.number, MOST if of is None else of)
        said["step"] = {"number": number, "of": of, "name": _printable(step.name, LONGEST_NAME)}
    said["updated_at"] = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    said = {name: value for name, value in said.items() if value is not None}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _within(value: Number | None, most: Number) -> Number | None:
    if value is None or value - value != 0:  # NaN and the infinities
        return None
    return min(max(value, 0), most)


def _printable(text: str, longest: int) -> str:
    text = " ".join(_UNPRINTABLE.sub(" ", text[: 10 * longest]).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
