"""The policies of unique jobs refuse what they cannot do."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from offload import Debounce, Throttle, Unique


async def akey(shop: str) -> str:
    return shop


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Unique(until="done"),
            'Unique: until must be "finished" or "started", not \'done\'',
        ),
        (
            lambda: Unique(on_conflict="skip"),
            'Unique: on_conflict must be "return", "replace" or "raise", not \'skip\'',
        ),
        (lambda: Unique(within=0), "Unique: within must be seconds > 0 or a timedelta, not 0"),
        (
            lambda: Unique(within="1h"),
            "Unique: within must be seconds > 0 or a timedelta, not '1h'",
        ),
        (lambda: Unique(name="a b"), "Unique: name must be at most 128 letters"),
        (
            lambda: Unique(name="a", on_conflict="replace"),
            'Unique: on_conflict="replace" and a name contradict each other',
        ),
        (lambda: Debounce(0), "Debounce: the first argument must be seconds > 0"),
        (lambda: Debounce(-1), "must be seconds > 0 or a timedelta, not -1"),
        (
            lambda: Debounce(5, maximum=3),
            "Debounce: maximum must be at least the delay of 5, not 3",
        ),
        (lambda: Debounce(5, maximum=True), "Debounce: maximum must be seconds > 0"),
        (lambda: Throttle("60/m"), "Throttle: the first argument must be seconds > 0"),
        (lambda: Throttle(60, name=5), "Throttle: name must be at most 128 letters"),
    ],
)
def test_a_bad_value_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the test checks its text
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [Unique, partial(Debounce, 5), partial(Throttle, 5)],
    ids=["unique", "debounce", "throttle"],
)
@pytest.mark.parametrize("key", [5, None, akey])
def test_a_key_is_text_or_a_callable(make: Any, key: Any) -> None:
    with pytest.raises(TypeError, match="key must be text such as"):
        make(key)


def test_equal_policies_are_equal_and_hashable() -> None:
    assert Debounce(timedelta(seconds=5)) == Debounce(timedelta(seconds=5))
    assert len({Unique("{a}"), Unique("{a}"), Throttle(5, "{a}")}) == 2
