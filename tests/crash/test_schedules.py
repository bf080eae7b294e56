"""Schedules while workers are killed: each tick becomes one job, and none is lost."""

from __future__ import annotations

from datetime import timedelta

from offload.models import Job, Schedule
from tests.crash.scenario import Scenario
from tests.schedules.factories import make_due

PLACES = (
    "schedules.locked",
    "schedules.moved",
    "schedules.inserted",
    "schedules.committed",
    "schedules.kept",
)
"""Failpoints after each statement of a firing, and before those of the code are committed."""


def test_workers_that_are_killed_while_they_fire_make_one_job_of_each_tick(
    scenario: Scenario,
) -> None:
    ticks = {}
    for place in PLACES:
        scenario.mark.unlink(missing_ok=True)
        ticks[place] = make_due(place, ago=timedelta(minutes=5))
        scenario.start(processes=0, failpoint=f"{place}:kill")
        scenario.wait_for_failpoint()

    scenario.start(processes=0)
    scenario.wait_for(
        lambda: not Schedule.objects.filter(pk__in=PLACES, last_tick_at=None), "all tick"
    )
    jobs = Job.objects.values_list("schedule", "scheduled_for")
    assert dict(jobs) == ticks
    assert len(jobs) == len(PLACES)
    assert Schedule.objects.filter(source="code").exists()
    rows = Schedule.objects.filter(pk__in=PLACES)
    assert {str(row.name): row.last_tick_at for row in rows} == ticks
    assert not rows.exclude(skipped=0, error="").exists()
