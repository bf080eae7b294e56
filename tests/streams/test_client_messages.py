"""Messages from the client over a WebSocket."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from offload.streams.client_messages import MAX_MESSAGE_CHARS, ClientMessage, ProtocolError

ONE, TWO = UUID(int=1), UUID(int=2)


def parse(**content: Any) -> ClientMessage:
    return ClientMessage.parse(json.dumps(content))


def test_a_message_is_parsed():
    message = parse(
        subscribe=[str(ONE), ONE.hex], known={str(ONE): 17}, unsubscribe=[str(TWO)], token="a:b"
    )

    assert message == ClientMessage([ONE], {ONE: 17}, [TWO], "a:b")


def test_all_fields_are_optional_and_others_are_ignored():
    assert parse() == ClientMessage([], {}, [], None)
    assert parse(unknown="field") == ClientMessage([], {}, [], None)


@pytest.mark.parametrize(
    "content",
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
def test_invalid_fields_are_refused(content):
    with pytest.raises(ProtocolError) as error:
        parse(**content)
    assert error.value.close_code == 1008


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "1", "[" * 5000, "9" * 5000])
def test_text_that_is_not_an_object_is_refused(text):
    with pytest.raises(ProtocolError) as error:
        ClientMessage.parse(text)
    assert error.value.close_code == 1008


def test_binary_and_too_long_messages_are_refused():
    for text, code in ((None, 1003), (" " * (MAX_MESSAGE_CHARS + 1), 1009)):
        with pytest.raises(ProtocolError) as error:
            ClientMessage.parse(text)
        assert error.value.close_code == code
