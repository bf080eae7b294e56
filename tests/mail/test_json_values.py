"""Plain data survives the round trip through any database."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from offload.mail.json_values import pack, unpack
from offload.serialization import encode_arguments

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
        st.binary(),
        st.datetimes(timezones=st.just(UTC)),
        st.dates(),
        st.decimals(allow_nan=False),
    ),
    lambda inner: (
        st.lists(inner) | st.dictionaries(TEXT.filter(lambda key: "\0" not in key), inner)
    ),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_data_survives_any_database(value):
    text, _, _ = encode_arguments([pack(value)], {}, max_bytes=10**9)

    assert unpack(json.loads(text)[0][0]) == value


@pytest.mark.parametrize("tag", ["$bytes", "$text", "$dict", "$date", "$nothing"])
def test_a_dict_that_looks_like_a_tag_survives(tag):
    assert unpack(pack({tag: {tag: "x"}})) == {tag: {tag: "x"}}


def test_values_keep_their_types():
    values = [datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1), Decimal("1.10"), b"\0"]

    assert [type(value) for value in unpack(pack(values))] == [datetime, date, Decimal, bytes]


def test_lazy_text_becomes_text():
    assert pack([gettext_lazy("Yes")]) == ["Yes"]


@pytest.mark.parametrize("value", [object(), [object()], {"a": {1}}, {1: "a"}, print])
def test_objects_that_are_not_data_are_refused(value):
    with pytest.raises(TypeError, match=r"^a "):
        pack(value)
