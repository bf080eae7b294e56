"""A process that enqueues, and dies while it does."""

from __future__ import annotations

import pytest

from tests.crash.table import keep
from tests.crash.world import World


@pytest.mark.parametrize("action", ["kill", "exit", "outage", "raise"])
@pytest.mark.parametrize("place", ["enqueue.inserted", "enqueue.committed"])
def test_a_job_exists_if_and_only_if_its_transaction_was_committed(
    world: World, record_property: object, place: str, action: str
) -> None:
    process = world.run(
        ["-m", "tests.crash.enqueue", "6"],
        {
            **world.environment,
            "OFFLOAD_FAILPOINT": f"{place}:{action}@3",
            "OFFLOAD_FAILPOINT_MARK": str(world.mark),
        },
    )
    process.wait()
    assert world.mark.exists()
    expected = 2 if place == "enqueue.inserted" else 3
    world.take_in_what_was_enqueued(expected)
    world.drain()
    keep(record_property, f"{place}:{action}", world.judge())
