"""Text is made storable and printable."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.text import (
    BIDI_CONTROLS,
    BIDI_MARKS,
    to_single_line,
    to_storable_text,
    to_terminal_lines,
    to_terminal_text,
)


@given(text=st.text(st.characters(codec=None)), limit=st.integers(0, 40))
def test_every_text_can_be_made_storable(text, limit):
    stored = to_storable_text(text, max_chars=limit)

    stored.encode()
    assert "\0" not in stored
    if stored != text and len(text) <= limit and "left out" not in stored:
        assert "\\u" in stored


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("nothing to do: é\U0001f600", 100, "nothing to do: é\U0001f600"),
        ("a\0b\ud800", 100, r"a\u0000b\ud800"),
        ("abcdefgh", 4, "ab\n... 4 characters left out ...\ngh"),
        ("abcdefgh", 1, "a\n... 7 characters left out ...\n"),
        ("abcdefgh", 0, "\n... 8 characters left out ...\n"),
    ],
)
def test_head_and_tail_of_a_long_text_are_kept(text, limit, expected):
    assert to_storable_text(text, max_chars=limit) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Größe: ۱۲ 👩\u200d🚀\tdone ", "Größe: ۱۲ 👩\u200d🚀 done"),
        ("a\r\nb\0<i>\x85", "a b <i>"),
        ("two  spaces", "two spaces"),
        ("x" * 500, "x" * 500),
        ("x" * 501, "x" * 499 + "…"),
        ("\ud800", ""),
    ],
)
def test_a_line_has_no_control_characters_and_a_limit(text, expected):
    assert to_single_line(text, max_chars=500) == expected


@given(text=st.text(st.characters(codec=None)))
def test_no_character_that_acts_on_a_terminal_reaches_it(text):
    shown = to_terminal_text(text)

    shown.encode()
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in shown)
    assert not re.search(f"[{BIDI_MARKS}{BIDI_CONTROLS}]", shown)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Größe: ۱۲ 👩\u200d🚀", "Größe: ۱۲ 👩\u200d🚀"),
        ("\x1b]0;owned\x07\x1b[2J", r"\x1b]0;owned\x07\x1b[2J"),
        ("a\r\nb\tc\x7f\x9b", r"a\r\nb\tc\x7f\x9b"),
        ("ab\u202edc\u2069\u2028", r"ab\u202edc\u2069\u2028"),
        ("\ud800", r"\ud800"),
        (None, "None"),
    ],
)
def test_control_characters_are_shown_as_escapes(text, expected):
    assert to_terminal_text(text) == expected


def test_a_traceback_keeps_its_lines():
    text = 'File "x"\n\traise\nValueError: \x1b[31m\rgone\x85\n'

    assert to_terminal_lines(text) == (
        'File "x"\n        raise\nValueError: \\x1b[31m\\rgone\\x85\n'
    )
