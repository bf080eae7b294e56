"""The targets, and whether they are reached."""

from __future__ import annotations

from comparison.contenders import ALL_CONTENDERS
from comparison.measurements import ANY_CONFIG, Measurements
from comparison.report import report
from comparison.targets import DRAINS, LIMITS, best_drain_rate, targets

RATES = ("noop", "anoop", "bulk")
TIMES = ("enqueue p50", "pickup p50", "result p50", "idle requests", "idle cpu")


def make_measurements(*, rate: float, time: float) -> Measurements:
    """Return measurements in which django-offload has these numbers, and each peer has 100."""
    measurements = Measurements()
    for contender in ALL_CONTENDERS:
        for label in (ANY_CONFIG, *(config.label for config in contender.configs)):
            for name in (*RATES, *TIMES):
                ours = rate if name in RATES else time
                measurements.add(contender.name, label, name, ours if contender.is_ours else 100)
    return measurements


def test_high_rates_and_short_times_reach_all_targets():
    results = list(targets(make_measurements(rate=1e6, time=0.01)))

    assert len(results) == len(DRAINS) + len(LIMITS) + 3
    assert [target.label for target in results if not target.is_reached] == []


def test_low_rates_and_long_times_reach_no_target():
    measurements = make_measurements(rate=1, time=1e6)

    assert [target.label for target in targets(measurements) if target.is_reached] == []
    number = len(list(targets(measurements)))
    assert report(measurements, ALL_CONTENDERS).count("| **no** |") == number


def test_a_target_is_a_ratio_of_two_measured_rates():
    measurements = Measurements()
    for rate in (900, 1000, 1100):
        measurements.add("offload-postgresql", "default", "noop", rate)
        measurements.add("celery-redis", "threads -c 8", "noop", rate / 10)
    (target,) = targets(measurements)

    assert (target.ratio, target.is_reached) == (10, True)
    row = "| offload-postgresql drain /s | 1,000 | celery-redis | 100 | 10.00 | >= 10 | yes |"
    assert row in report(measurements, ALL_CONTENDERS)


def test_the_best_median_of_all_configurations_counts():
    measurements = Measurements()
    for label, name, rates in (
        ("default", "noop", (100, 200, 300)),
        ("default", "anoop", (10, 250, 260)),
        ("embedded, 1 thread", "noop", (1, 2, 900)),
    ):
        for rate in rates:
            measurements.add("offload-sqlite", label, name, rate)

    assert best_drain_rate(measurements, "offload-sqlite") == 250
    assert best_drain_rate(measurements, "offload-sqlite", "embedded, 1 thread") == 2
    assert best_drain_rate(measurements, "huey-sqlite") is None
