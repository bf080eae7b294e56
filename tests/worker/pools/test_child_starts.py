"""Child processes that cannot start."""

from __future__ import annotations

import logging
import socket

import pytest

from offload.worker.pools.child_limits import ChildLimits
from offload.worker.pools.child_starts import ChildStarts
from offload.worker.pools.processes import ProcessPool

LIMITS = ChildLimits(
    threads=1, async_slots=1, async_threads=1, kill_grace_period=1.0, using="default", lease=30.0
)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.ERROR, logger="offload.worker")
    return caplog


def test_one_failed_start_delays_the_others(monkeypatch, log):
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError("out of memory")

    monkeypatch.setattr(socket, "socketpair", refuse)
    pool = ProcessPool(processes=4, limits=LIMITS)

    pool.start()
    pool.enforce_limits()

    assert [record.getMessage() for record in log.records] == [
        "A child process could not start (OSError: out of memory). Trying again in 1 s."
    ]


def test_starts_that_fail_for_hours_are_tried_once_a_minute(log):
    starts = ChildStarts()
    for _ in range(1100):
        starts.delay("out of memory")

    delays = [record.getMessage().partition("again in ")[2] for record in log.records]
    assert delays[:7] == ["1 s.", "2 s.", "4 s.", "8 s.", "16 s.", "32 s.", "60 s."]
    assert set(delays[6:]) == {"60 s."}
