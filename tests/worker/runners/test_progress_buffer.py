"""Where the jobs of a process stand: all that is due, once, and the last word of each."""

from __future__ import annotations

import json
from typing import Any

from offload.progress import PAUSE, ProgressReporter
from offload.worker.runners.progress_buffer import ProgressBuffer


def say(gauge: ProgressReporter, done: int) -> None:
    gauge.latest = (done, 1_000, "", None)
    if not gauge.is_moved:
        gauge.move()


def read(gauges: ProgressBuffer, now: float) -> dict[str, Any]:
    return {key[0]: json.loads(text)["done"] for key, text in gauges.read(now).items()}


def test_what_is_not_due_is_kept_until_it_is():
    gauges = ProgressBuffer()
    one, other = (
        ProgressReporter(("one", 1), gauges.add),
        ProgressReporter(("other", 1), gauges.add),
    )
    say(one, 1)
    assert read(gauges, 0.0) == {"one": 1}
    assert not gauges

    say(one, 2)
    say(other, 5)
    assert read(gauges, 0.01) == {"other": 5}
    assert gauges
    say(one, 3)

    assert read(gauges, PAUSE + 0.01) == {"one": 3}
    assert read(gauges, 2 * PAUSE) == {}


def test_whoever_passes_them_on_is_woken_once_for_each_read():
    woken: list[int] = []
    gauges = ProgressBuffer(wake=lambda: woken.append(1))
    gauge = ProgressReporter(("one", 1), gauges.add)

    for done in range(100):
        say(gauge, done)
    gauges.read(0.0)
    for done in range(100):
        say(gauge, done)

    assert len(woken) == 2
