"""Text from tasks and exceptions, made safe to store and to show."""

from __future__ import annotations

import logging
import re
import textwrap
from typing import Any

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and lone surrogates, which not every database stores."""

CONTROLS = "\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
"""Characters that terminals, logs and databases mishandle, as ranges of a regular expression:
control characters (C0, DEL, C1), line and paragraph separators, and lone surrogates."""
BIDI_MARKS = "\u061c\u200e\u200f"
"""Invisible marks of a direction, which texts in Arabic and Hebrew need; as ranges, too."""
BIDI_CONTROLS = "\u202a-\u202e\u2066-\u2069"
"""Characters that reorder the text after them; as ranges, too."""

_UNPRINTABLE = re.compile(f"[{CONTROLS}]+")
_REORDERING = re.compile(f"[{BIDI_CONTROLS}]+")
_UNSAFE = re.compile(f"[{CONTROLS}{BIDI_MARKS}{BIDI_CONTROLS}]")


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
    """Return text as one line without control characters, cut to `max_chars` with an ellipsis.

    Bidirectional controls are left out, too: they would reorder the text around it.
    """
    # The first cut bounds the cost of a text of megabytes.
    text = text[: 10 * max_chars]
    if not text.isascii():
        text = _REORDERING.sub("", text)
    text = " ".join(_UNPRINTABLE.sub(" ", text).split())
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def to_terminal_text(text: object) -> str:
    """Return text as one line for a terminal or a log, its control characters as escapes.

    Text of a task could otherwise move the cursor, set the window's title or forge a log line.
    """
    text = str(text)
    if text.isascii() and text.isprintable():  # most are; the search takes ten times as long
        return text
    return _UNSAFE.sub(_escape, text)


def to_terminal_lines(text: str) -> str:
    """Do what `to_terminal_text` does with each line of a text, such as a traceback."""
    return "\n".join(map(to_terminal_text, text.expandtabs().split("\n")))


def format_exception(exc_info: Any) -> str:
    """Return a traceback for a log: indented, so that no line of it looks like a record."""
    lines = logging.Formatter().formatException(exc_info)
    return textwrap.indent(to_terminal_lines(lines), "  ")


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
