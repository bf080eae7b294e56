"""What a page may say over a WebSocket."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from offload.streams.client_messages import MAX_MESSAGE_CHARS, ClientMessage, ProtocolError

ONE, TWO = UUID(int=1), UUID(int=2)


def parse(**said: Any) -> ClientMessage:
    return ClientMessage.parse(json.dumps(said))


def test_a_wish_is_what_the_page_says():
    said = parse(
        subscribe=[str(ONE), ONE.hex], known={str(ONE): 17}, unsubscribe=[str(TWO)], token="a:b"
    )

    assert said == ClientMessage([ONE], {ONE: 17}, [TWO], "a:b")


def test_all_of_it_may_be_left_out():
    assert parse() == ClientMessage([], {}, [], None)
    assert parse(news="of another version") == ClientMessage([], {}, [], None)


@pytest.mark.parametrize(
    "said",
    [
        {"subscribe": "x"},
        {"subscribe": {}},
        {"subscribe": ["x"]},
        {"subscribe": [1]},
        {"subscribe": [None]},
        {"unsubscribe": ["x"]},
        {"known": []},
        {"known": {"x": 1}},
        {"known": {str(ONE): "x"}},
        {"known": {str(ONE): None}},
        {"known": {str(ONE): float("inf")}},
        {"token": 1},
        {"token": "a\r\nb"},
        {"token": "ä"},
    ],
)
def test_nonsense_is_refused(said):
    with pytest.raises(ProtocolError) as refused:
        parse(**said)
    assert refused.value.close_code == 1008


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "1", "[" * 5000, "9" * 5000])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(ProtocolError) as refused:
        ClientMessage.parse(text)
    assert refused.value.close_code == 1008


def test_what_is_no_text_or_too_long_is_refused():
    for text, code in ((None, 1003), (" " * (MAX_MESSAGE_CHARS + 1), 1009)):
        with pytest.raises(ProtocolError) as refused:
            ClientMessage.parse(text)
        assert refused.value.close_code == code
