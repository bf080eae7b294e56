"""A process that dies while it enqueues jobs."""

from __future__ import annotations

import pytest

from tests.crash.scenario import Scenario
from tests.crash.summary import keep

PLACES = ("enqueue.inserted", "enqueue.committed")


@pytest.mark.parametrize(
    ("place", "action"),
    [
        *((place, action) for place in PLACES for action in ("kill", "exit", "outage", "raise")),
        ("limits.noticed", "kill"),
    ],
)
def test_a_job_exists_if_and_only_if_its_transaction_was_committed(
    scenario: Scenario, record_property: object, place: str, action: str
) -> None:
    task = ["limited"] if place == "limits.noticed" else []
    process = scenario.run(
        ["-m", "tests.crash.enqueueing_process", "6", *task],
        {
            **scenario.environment,
            "OFFLOAD_FAILPOINT": f"{place}:{action}@3",
            "OFFLOAD_FAILPOINT_MARK": str(scenario.mark),
        },
    )
    process.wait()
    assert scenario.mark.exists()
    expected = 3 if place == "enqueue.committed" else 2
    scenario.adopt_enqueued_jobs(expected)
    scenario.drain()
    keep(record_property, f"{place}:{action}", scenario.judge())
