"""Draining, as it is measured: a client, a worker and the start log, on SQLite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comparison import draining
from comparison.contenders import CONTENDERS, WorkerConfig
from comparison.measurements import Measurements
from comparison.sandbox import Sandbox

JOBS = 200


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(next(each for each in CONTENDERS if each.name == "offload-sqlite"))
    try:
        sandbox.prepare()
        yield sandbox
    finally:
        sandbox.remove()
        assert not sandbox.folder.exists()


@pytest.fixture
def config(sandbox) -> WorkerConfig:
    return next(each for each in sandbox.contender.configs if each.label == "embedded, 1 thread")


def test_all_jobs_of_a_drain_are_counted_and_saved(sandbox, config):
    measurements = Measurements()
    draining.drain(sandbox, config, "noop", JOBS, measurements)
    starts = sandbox.starts.read()

    def median(name: str) -> float | None:
        return measurements.median(sandbox.contender.name, config.label, name)

    assert len(starts) == JOBS
    assert all(sent < start for sent, start in starts)
    assert median("noop unsaved") == 0
    assert median("noop saved after") is not None
    span = (starts[-1][1] - starts[0][1]) / 1e9
    assert median("noop") == (JOBS - 1) / span


@pytest.mark.parametrize("name", ["mixed", "amixed"])
def test_mixed_jobs_are_measured_under_their_own_name(sandbox, config, name):
    measurements = Measurements()
    draining.drain_mixed(sandbox, config, name, 0.2, measurements)

    if name == "amixed":
        rate, other = draining.MAX_ASYNC_MIXED_PER_SECOND, "mixed"
    else:
        rate, other = 1 / draining.MIXED_AVERAGE_SECONDS, "amixed"
    assert len(sandbox.starts.read()) == int(0.2 * rate)
    assert measurements.median(sandbox.contender.name, config.label, f"{name} unsaved") == 0
    assert measurements.median(sandbox.contender.name, config.label, other) is None
