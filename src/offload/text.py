"""Text from tasks and exceptions, made safe to store and to show."""

from __future__ import annotations

import re

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and lone surrogates, which not every database stores."""

# Terminals, logs and databases mishandle control characters and lone surrogates.
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def to_storable_text(text: str, *, max_chars: int) -> str:
    """Return text that every database can store, for messages and tracebacks.

    NUL and lone surrogates become escapes. Of a longer text the head and the tail are kept.
    """
    text = UNSTORABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    if len(text) <= max_chars:
        return text
    left_out = len(text) - max_chars
    head = max_chars - max_chars // 2
    return f"{text[:head]}\n... {left_out:,} characters left out ...\n{text[head + left_out :]}"


def to_single_line(text: str, *, max_chars: int) -> str:
    """Return text as one line without control characters, cut to `max_chars` with an ellipsis."""
    # The first cut bounds the cost of a text of megabytes.
    text = " ".join(_UNPRINTABLE.sub(" ", text[: 10 * max_chars]).split())
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"
