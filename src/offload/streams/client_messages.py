"""Validation of the messages that a client sends over a WebSocket."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self
from uuid import UUID

MAX_MESSAGE_CHARS = 32 * 1024
"""Maximum length of a message."""
CLOSE_UNSUPPORTED_DATA = 1003
CLOSE_POLICY_VIOLATION = 1008
CLOSE_MESSAGE_TOO_BIG = 1009


class ProtocolError(Exception):
    """The client violated the protocol, so its socket is closed.

    Args:
        close_code: a status code of RFC 6455, section 7.4.1.
    """

    def __init__(self, close_code: int) -> None:
        super().__init__(close_code)
        self.close_code = close_code


class ClientMessage(NamedTuple):
    """A message from the client.

    Attributes:
        subscribe: jobs to subscribe to.
        known: versions of them that the client has.
        unsubscribe: jobs to unsubscribe from.
        token: replaces the token of the handshake; None keeps that one.
    """

    subscribe: Sequence[UUID] = ()
    known: Mapping[UUID, int] = {}
    unsubscribe: Sequence[UUID] = ()
    token: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Parse a message.

        Args:
            text: content of the frame; None for a binary frame.

        Raises:
            ProtocolError: for a binary, too long or invalid message.
        """
        if text is None:
            raise ProtocolError(CLOSE_UNSUPPORTED_DATA)
        if len(text) > MAX_MESSAGE_CHARS:
            raise ProtocolError(CLOSE_MESSAGE_TOO_BIG)
        try:
            content = json.loads(text)
            known = content.get("known", {})
            return cls(
                subscribe=_parse_ids(content.get("subscribe", [])),
                known={UUID(pk): int(version) for pk, version in known.items()},
                unsubscribe=_parse_ids(content.get("unsubscribe", [])),
                token=_parse_token(content.get("token")),
            )
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            raise ProtocolError(CLOSE_POLICY_VIOLATION) from None


def _parse_ids(value: Any) -> list[UUID]:
    if not isinstance(value, list):
        raise TypeError
    return list(dict.fromkeys(UUID(pk) for pk in value))


def _parse_token(value: Any) -> str | None:
    """Return a token that is valid as the value of a header."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError
    if not value.isascii() or not value.isprintable():
        raise ValueError
    return value
