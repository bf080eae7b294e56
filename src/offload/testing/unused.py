"""Context managers that complain if nobody enters them: a test without `with` checks nothing."""

from __future__ import annotations

import warnings

_unused: list[str] = []
"""Messages about context managers that were not entered since they were last taken."""


class MustBeEntered:
    """The base of a context manager that warns when it is deleted and was never entered.

    An exception in `__del__` would be ignored, so the pytest plugin fails the test.

    Attributes:
        call: how it was called, for the message.
        is_used: whether it was entered, or decorates something.
    """

    call = ""
    is_used = False

    def __del__(self) -> None:
        if not self.is_used and self.call:  # which it lacks if its arguments were wrong
            message = f"{self.call} does nothing by itself: write `with {self.call}:`."
            _unused.append(message)
            warnings.warn(message, RuntimeWarning, stacklevel=2)


def take_unused() -> list[str]:
    """Return the messages about context managers that were not entered, and forget them."""
    messages = _unused.copy()
    _unused.clear()
    return messages
