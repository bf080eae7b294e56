"""The buffer returns each due progress once, and the last progress of each job."""

from __future__ import annotations

import json
from typing import Any

from offload.progress import READ_INTERVAL, ProgressReporter
from offload.worker.runners.progress_buffer import ProgressBuffer


def report(reporter: ProgressReporter, done: int) -> None:
    reporter.latest = (done, 1_000, "", None)
    if not reporter.is_changed:
        reporter.publish()


def read(progress_buffer: ProgressBuffer, now: float) -> dict[str, Any]:
    return {key[0]: json.loads(text)["done"] for key, text in progress_buffer.read(now).items()}


def test_progress_is_kept_until_it_is_due():
    progress_buffer = ProgressBuffer()
    one, other = (
        ProgressReporter(("one", 1), progress_buffer.add),
        ProgressReporter(("other", 1), progress_buffer.add),
    )
    report(one, 1)
    assert read(progress_buffer, 0.0) == {"one": 1}
    assert not progress_buffer

    report(one, 2)
    report(other, 5)
    assert read(progress_buffer, 0.01) == {"other": 5}
    assert progress_buffer
    report(one, 3)

    assert read(progress_buffer, READ_INTERVAL + 0.01) == {"one": 3}
    assert read(progress_buffer, 2 * READ_INTERVAL) == {}


def test_wake_is_called_once_for_each_read():
    woken: list[int] = []
    progress_buffer = ProgressBuffer(wake=lambda: woken.append(1))
    reporter = ProgressReporter(("one", 1), progress_buffer.add)

    for done in range(100):
        report(reporter, done)
    progress_buffer.read(0.0)
    for done in range(100):
        report(reporter, done)

    assert len(woken) == 2
