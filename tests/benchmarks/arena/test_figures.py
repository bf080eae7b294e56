"""The numbers of several runs, put together."""

from __future__ import annotations

import pytest

from arena.figures import Figures, quantile

PLACE = "offload-sqlite", "default"


def test_the_median_and_the_span_are_of_the_runs_of_one_place_and_name():
    figures = Figures()
    for number in (30, None, 10, 20):
        figures.add(*PLACE, "noop", number)
    figures.add("offload-sqlite", "embedded", "noop", 1000)
    figures.add("huey-sqlite", "default", "noop", 2000)
    figures.add(*PLACE, "mixed", 3000)

    assert figures.median(*PLACE, "noop") == 20
    assert figures.span(*PLACE, "noop") == (10, 30)
    assert figures.all("noop") == [30, 10, 20, 1000, 2000]


def test_what_was_not_measured_is_no_number():
    figures = Figures()
    figures.add(*PLACE, "noop", 10)

    assert figures.median(*PLACE, "mixed") is None
    assert figures.span(*PLACE, "noop") is None  # of one run


@pytest.mark.parametrize(
    ("numbers", "part", "expected"),
    [
        ([*range(51, 101), *range(1, 51)], 0.5, 51),
        ([*range(51, 101), *range(1, 51)], 0.99, 100),
        ([3, 1, 2], 0.5, 2),
        ([7], 0.99, 7),
        ([], 0.5, None),
    ],
)
def test_a_quantile_is_one_of_the_numbers(numbers, part, expected):
    assert quantile(numbers, part) == expected
