"""Differences and medians of the metrics of pages."""

from __future__ import annotations

from dataclasses import fields

from live_pages.browser import PageMetrics
from live_pages.rendering_cost import _median

NAMES = [field.name for field in fields(PageMetrics)]


def metrics(*numbers: float) -> PageMetrics:
    return PageMetrics(**dict(zip(NAMES, numbers, strict=True)))


def test_differences_exclude_the_longest_interaction():
    before, after = metrics(1, 2, 3, 4, 5, 6, 7), metrics(11, 22, 33, 44, 55, 66, 77)

    assert after.since(before) == metrics(10, 20, 30, 40, 50, 60, 77)


def test_each_metric_has_a_median_of_its_own():
    runs = [
        metrics(1, 9, 5, 0, 0, 0, 8),
        metrics(2, 8, 6, 0, 0, 0, 0),
        metrics(9, 1, 7, 3, 0, 0, 16),
    ]

    assert _median(runs) == metrics(2, 8, 6, 0, 0, 0, 8)
