"""Which arguments are accepted, and that they are stored exactly."""

import json
from collections import OrderedDict, UserDict, UserList, UserString, deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import reduce
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from offload.exceptions import InvalidArguments
from offload.serialization import (
    MAX_DEPTH,
    MAX_DIGITS,
    decode,
    encode_arguments,
    encode_result,
    normalize,
)

LIMIT = 2 * 1024**2


class Colour(StrEnum):
    RED = "red"


class OldColour(str, Enum):  # noqa: UP042  # as Django's TextChoices is
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Meters(float):
    pass


def nested(levels: int) -> list[Any]:
    return reduce(lambda inner, _: [inner], range(levels - 1), [])


def endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def arguments_of(value: Any) -> Any:
    """Return the value as the task will receive it."""
    text, (returned,), _ = encode_arguments([value], {}, max_bytes=LIMIT)
    assert decode(text) == [[returned], {}]
    return returned


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(st.characters(codec=None, categories=["Cs", "Cc", "Lo", "So"])),
    st.binary(max_size=8),
    st.sampled_from([Colour.RED, OldColour.RED, Size.SMALL, Meters(1.5), -0.0, 10**400, 1e400]),
)
keys = st.one_of(scalars, st.sampled_from(["1", "true", "null", 1, True, None, b"1"]))


def containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(values, max_size=4),
        st.lists(values, max_size=4).map(tuple),
        st.dictionaries(keys, values, max_size=4),
        st.dictionaries(keys, values, max_size=4).map(MappingProxyType),
        st.sets(st.integers(), max_size=2),
    )


json_like = st.recursive(scalars, containers, max_leaves=20)


def looks_alike(one: Any, other: Any) -> bool:
    """Compare with types and signs: `1`, `1.0`, `True` and `-0.0` are all different."""
    return repr(one) == repr(other)


@given(args=st.lists(json_like, max_size=3), kwargs=st.dictionaries(keys, json_like, max_size=3))
def test_encoded_arguments_decode_to_the_tasks_arguments(args, kwargs):
    try:
        text, positional, named = encode_arguments(args, kwargs, max_bytes=LIMIT)
    except (InvalidArguments, TypeError):
        return

    assert looks_alike(decode(text), [positional, named])
    assert "\0" not in text
    assert looks_alike(json.loads(text.encode()), [positional, named])


@given(value=json_like)
def test_the_tasks_arguments_can_be_encoded_again_unchanged(value):
    try:
        text = encode_result(value, max_bytes=LIMIT)
    except (ValueError, TypeError):
        return

    accepted = decode(text)
    assert encode_result(accepted, max_bytes=LIMIT) == text
    assert looks_alike(normalize(accepted, "it"), accepted)


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    )
)
def test_plain_json_is_always_accepted(value):
    assert looks_alike(arguments_of(value), value)


BECOMES = {
    "tuple": ((1, (2,)), [1, [2]]),
    "range": (range(3), [0, 1, 2]),
    "bytearray": (bytearray(b"ab"), [97, 98]),
    "bytes": (b"caf\xc3\xa9", "café"),
    "deque": (deque([1]), [1]),
    "UserList": (UserList([1]), [1]),
    "UserDict": (UserDict(a=1), {"a": 1}),
    "OrderedDict": (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "read-only dict": (MappingProxyType({"a": (1,)}), {"a": [1]}),
    "query string": (QueryDict("a=1&a=2"), {"a": "2"}),
    "keys": (
        {None: 1, 1.5: 2, False: 3, b"x": 4, Size.SMALL: 5, Colour.RED: 6},
        {"null": 1, "1.5": 2, "false": 3, "x": 4, "1": 5, "red": 6},
    ),
    "StrEnum": (Colour.RED, "red"),
    "str and Enum": (OldColour.RED, "red"),
    "IntEnum": (Size.SMALL, 1),
    "float subclass": (Meters(2.5), 2.5),
    "safe text": (mark_safe("<b>"), "<b>"),
    "negative zero": (-0.0, -0.0),
    "longest integer": (1 - 10**MAX_DIGITS, 1 - 10**MAX_DIGITS),
    "largest float": (1.7976931348623157e308, 1.7976931348623157e308),
    "smallest float": (5e-324, 5e-324),
    "odd text": (
        "e\u0301\u2028\ufffe\U0010ffff\x7f\x1b\r\n",
        "e\u0301\u2028\ufffe\U0010ffff\x7f\x1b\r\n",
    ),
    "deepest": (nested(MAX_DEPTH - 1), nested(MAX_DEPTH - 1)),
}


@pytest.mark.parametrize(("value", "expected"), BECOMES.values(), ids=BECOMES)
def test_python_values_become_json_values_at_once(value, expected):
    assert looks_alike(arguments_of(value), expected)


REFUSED = [
    (float("nan"), "args[0] is nan"),
    ([1, {"price": float("inf")}], "args[0][1]['price'] is inf"),
    ({"a": float("-inf")}, "args[0]['a'] is -inf"),
    ([Meters("nan")], "args[0][0] is nan"),
    ({float("nan"): 1}, "a key of args[0] is nan"),
    ("a\0b", "args[0] contains a NUL character"),
    ([b"\0"], "args[0][0] contains a NUL character"),
    ({"\0": 1}, "a key of args[0] contains a NUL character"),
    ({"a": {"b\0": 1}}, "a key of args[0]['a'] contains a NUL character"),
    ("\ud800", "args[0] contains a lone surrogate"),
    ({"x": ["\udfff"]}, "args[0]['x'][0] contains a lone surrogate"),
    ({"\ud83d": 1}, "a key of args[0] contains a lone surrogate"),
    (b"\xff", "args[0] is bytes that are not UTF-8"),
    ({b"\xff": 1}, "a key of args[0] is bytes that are not UTF-8"),
    (10**MAX_DIGITS, "args[0] has more than 4300 digits"),
    ({-(10**MAX_DIGITS): 1}, "a key of args[0] has more than 4300 digits"),
    ({1: "a", "1": "b"}, "args[0] has two keys that are both '1'"),
    ([{True: "a", "true": "b"}], "args[0][0] has two keys that are both 'true'"),
    ({None: "a", "null": "b"}, "args[0] has two keys that are both 'null'"),
    ({b"a": 1, "a": 2}, "args[0] has two keys that are both 'a'"),
    (nested(MAX_DEPTH), f"args[0]{'[0]' * (MAX_DEPTH - 1)} is nested deeper"),
    (nested(3000), "is nested deeper than 30 levels"),
]


@pytest.mark.parametrize("value", [endless(), UserString("text")], ids=["list", "UserString"])
def test_a_recursive_value_is_refused(value):
    with pytest.raises(InvalidArguments, match="is nested deeper than 30 levels"):
        arguments_of(value)


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_value_that_is_not_exact_is_refused_with_its_place(value, message):
    with pytest.raises(InvalidArguments) as caught:
        arguments_of(value)

    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)
    caught.value.args[0].encode()


UNKNOWN = [
    ({1, 2}, "args[0] is of type set"),
    (frozenset(), "args[0] is of type frozenset"),
    (datetime(2026, 1, 1, tzinfo=UTC), "args[0] is of type datetime"),
    ({"when": datetime(2026, 1, 1, tzinfo=UTC).date()}, "args[0]['when'] is of type date"),
    (Decimal("1.5"), "args[0] is of type Decimal"),
    ([UUID(int=1)], "args[0][0] is of type UUID"),
    (User(username="ann"), "args[0] is of type User"),
    (User.objects, "Manager"),
    (User, "args[0] is of type ModelBase"),
    ((n for n in "ab"), "args[0] is of type generator"),
    (gettext_lazy("text"), "__proxy__, which JSON does not have"),
    (object(), "args[0] is of type object"),
    (ValueError("x"), "args[0] is of type ValueError"),
    (len, "args[0] is of type builtin_function_or_method"),
    (1j, "args[0] is of type complex"),
    ({(1, 2): 3}, "a key of args[0] is of type tuple"),
    ({"a": {UUID(int=1): 3}}, "a key of args[0]['a'] is of type UUID"),
]


@pytest.mark.parametrize(("value", "message"), UNKNOWN, ids=[message for _, message in UNKNOWN])
def test_types_that_json_does_not_have_raise_a_type_error(value, message):
    with pytest.raises(TypeError, match="Unsupported type") as caught:
        arguments_of(value)

    assert message in str(caught.value)


RESULTS: list[tuple[Any, str]] = [
    (object(), "Return text, numbers, lists and dicts"),
    (UUID(int=1), "Return it as text"),
    (datetime(2026, 1, 1, tzinfo=UTC), "Return it as text: value.isoformat()"),
    (timedelta(1), "Return it in seconds"),
    ({1}, "Return it as a list"),
    (float("nan"), "Return None or text"),
    (10**5000, "Return it as hex text"),
    (b"\xff", "Return them base64-encoded"),
    (["\0"], "or return the data base64-encoded"),
    (nested(40), "Return it as JSON text"),
]


@pytest.mark.parametrize(("value", "advice"), RESULTS, ids=[advice for _, advice in RESULTS])
def test_errors_for_a_result_say_what_to_return(value, advice):
    with pytest.raises((TypeError, ValueError)) as caught:
        encode_result(value, max_bytes=LIMIT)

    assert advice in str(caught.value)
    assert "Pass" not in str(caught.value)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"price": float("nan")}, "kwargs['price'] is nan"),
        ({"a": ["\0"]}, "kwargs['a'][0] contains a NUL"),
        ({"\ud800": 1}, "a key of kwargs contains a lone surrogate"),
        ({1: "a", "1": "b"}, "kwargs has two keys that are both '1'"),
    ],
)
def test_errors_name_keyword_arguments_too(kwargs, message):
    with pytest.raises(InvalidArguments) as caught:
        encode_arguments([], kwargs, max_bytes=LIMIT)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fits"),
    [("a" * 991, True), ("a" * 992, False), ("é" * 495, True), ("é" * 496, False)],
)
def test_the_limit_counts_bytes_of_the_stored_text(text, fits):
    if fits:
        assert len(encode_arguments([text], {}, max_bytes=1000)[0].encode()) <= 1000
        return
    with pytest.raises(InvalidArguments, match=r"1,00\d bytes of JSON; at most 1,000"):
        encode_arguments([text], {}, max_bytes=1000)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "return value is nan"),
        ({"a": ["\0"]}, "return value['a'][0] contains a NUL"),
        (nested(MAX_DEPTH + 1), "is nested deeper"),
        ("é" * 500, "1,002 bytes of JSON; at most 1,000"),
    ],
)
def test_the_same_rules_apply_to_return_values(value, message):
    with pytest.raises(ValueError, match=r".") as caught:
        encode_result(value, max_bytes=1000)

    assert message in str(caught.value)


def test_an_error_names_the_type_of_a_return_value():
    with pytest.raises(TypeError, match="return value is of type object"):
        encode_result(object(), max_bytes=LIMIT)
