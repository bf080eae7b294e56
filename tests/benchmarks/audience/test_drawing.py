"""What a page costs that shows many changes."""

from __future__ import annotations

from dataclasses import fields

from audience.browser import Look
from audience.drawing import _median

NAMES = [field.name for field in fields(Look)]


def look(*numbers: float) -> Look:
    return Look(**dict(zip(NAMES, numbers, strict=True)))


def test_what_is_done_between_two_looks_leaves_out_what_was_before():
    before, after = look(1, 2, 3, 4, 5, 6, 7), look(11, 22, 33, 44, 55, 66, 77)

    # Of interactions the longest is told, whenever it was.
    assert after.since(before) == look(10, 20, 30, 40, 50, 60, 77)


def test_the_median_is_taken_of_each_figure_by_itself():
    looks = [look(1, 9, 5, 0, 0, 0, 8), look(2, 8, 6, 0, 0, 0, 0), look(9, 1, 7, 3, 0, 0, 16)]

    assert _median(looks) == look(2, 8, 6, 0, 0, 0, 8)
