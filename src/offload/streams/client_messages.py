"""What a page says over a WebSocket, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self
from uuid import UUID

LONGEST = 32 * 1024
"""Characters of a message."""
UNSUPPORTED, POLICY, TOO_BIG = 1003, 1008, 1009
"""Codes of the close."""


class Refused(Exception):
    """The page said what it may not; the argument is the code of the close."""


class ClientMessage(NamedTuple):
    """Attributes:
    subscribe: the jobs to be followed from now on.
    known: their versions that the page has.
    unsubscribe: the jobs to be followed no longer.
    token: to be checked instead of that of the handshake; None for that one.
    """

    subscribe: Sequence[UUID] = ()
    known: Mapping[UUID, int] = {}
    unsubscribe: Sequence[UUID] = ()
    token: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Return what a message says.

        Raises:
            Refused: for what is no message of ours.
        """
        if text is None:
            raise Refused(UNSUPPORTED)
        if len(text) > LONGEST:
            raise Refused(TOO_BIG)
        try:
            said = json.loads(text)
            return cls(
                subscribe=_ids(said.get("subscribe", [])),
                known={UUID(pk): int(version) for pk, version in said.get("known", {}).items()},
                unsubscribe=_ids(said.get("unsubscribe", [])),
                token=_token(said.get("token")),
            )
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            raise Refused(POLICY) from None


def _ids(value: Any) -> list[UUID]:
    if not isinstance(value, list):
        raise TypeError
    return list(dict.fromkeys(UUID(pk) for pk in value))


def _token(value: Any) -> str | None:
    if value is not None and not (
        isinstance(value, str) and value.isascii() and value.isprintable()
    ):
        raise ValueError
    return value
