"""What we want to reach, and whether it is."""

from __future__ import annotations

from arena.figures import ANY, Figures
from arena.lineup import LINEUP
from arena.report import report
from arena.targets import DRAINS, LIMITS, best_drain, targets

RATES = ("noop", "anoop", "bulk")
TIMES = ("enqueue p50", "pickup p50", "result p50", "idle requests", "idle cpu")


def measured(*, rate: float, time: float) -> Figures:
    """Return figures of all: ours have these, and the peers 100 of each."""
    figures = Figures()
    for contender in LINEUP:
        for place in (ANY, *(workers.label for workers in contender.workers)):
            for name in (*RATES, *TIMES):
                ours = rate if name in RATES else time
                figures.add(contender.name, place, name, ours if contender.is_ours else 100)
    return figures


def test_high_rates_and_short_times_reach_all_targets():
    found = list(targets(measured(rate=1e6, time=0.01)))

    assert len(found) == len(DRAINS) + len(LIMITS) + 3
    assert [target.what for target in found if not target.is_reached] == []


def test_low_rates_and_long_times_reach_none():
    figures = measured(rate=1, time=1e6)

    assert [target.what for target in targets(figures) if target.is_reached] == []
    assert report(figures, LINEUP).count("| **no** |") == len(list(targets(figures)))


def test_a_target_is_a_ratio_of_two_measured_rates():
    figures = Figures()
    for rate in (900, 1000, 1100):
        figures.add("offload-postgresql", "default", "noop", rate)
        figures.add("celery-redis", "threads -c 8", "noop", rate / 10)
    (target,) = targets(figures)

    assert (target.ratio, target.is_reached) == (10, True)
    row = "| offload-postgresql drain /s | 1,000 | celery-redis | 100 | 10.00 | >= 10 | yes |"
    assert row in report(figures, LINEUP)


def test_the_best_median_of_all_configurations_counts():
    figures = Figures()
    for label, name, rates in (
        ("default", "noop", (100, 200, 300)),
        ("default", "anoop", (10, 250, 260)),
        ("embedded, 1 thread", "noop", (1, 2, 900)),
    ):
        for rate in rates:
            figures.add("offload-sqlite", label, name, rate)

    assert best_drain(figures, "offload-sqlite") == 250
    assert best_drain(figures, "offload-sqlite", "embedded, 1 thread") == 2
    assert best_drain(figures, "huey-sqlite") is None
