"""Medians, ranges and quantiles of the measurements of several runs."""

from __future__ import annotations

import pytest

from comparison.measurements import Measurements, quantile

KEY = "offload-sqlite", "default"


def test_median_and_span_are_of_all_runs_with_the_same_key():
    measurements = Measurements()
    for number in (30, None, 10, 20):
        measurements.add(*KEY, "noop", number)
    measurements.add("offload-sqlite", "embedded", "noop", 1000)
    measurements.add("huey-sqlite", "default", "noop", 2000)
    measurements.add(*KEY, "mixed", 3000)

    assert measurements.median(*KEY, "noop") == 20
    assert measurements.span(*KEY, "noop") == (10, 30)
    assert measurements.all("noop") == [30, 10, 20, 1000, 2000]


def test_missing_measurements_have_neither_median_nor_span():
    measurements = Measurements()
    measurements.add(*KEY, "noop", 10)

    assert measurements.median(*KEY, "mixed") is None
    assert measurements.span(*KEY, "noop") is None  # of a single run


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
