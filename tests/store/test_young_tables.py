"""Plans in a table without statistics, as after the first deployment."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from offload.lifecycle import JobState
from offload.store import get_store
from tests.jobs import register_worker
from tests.store.test_query_plans import assert_index, explained, fill

pytestmark = pytest.mark.django_db


@pytest.mark.skipif(connection.vendor == "postgresql", reason="it counts pages without statistics")
@pytest.mark.parametrize(("finished", "running"), [(20_000, 10), (100, 3_000)])
def test_orphans_are_searched_among_running_jobs_only(finished: int, running: int) -> None:
    fill(finished, JobState.SUCCESSFUL, finished_at=timezone.now())
    fill(running, JobState.RUNNING, worker=UUID(register_worker()))

    with explained() as plans:
        assert get_store("default").rescue() == []

    assert_index(plans, "offload_job_running")
    if connection.vendor == "mysql":  # its plans also name indexes that they do not use
        assert any(re.search(r"'offload_job_running', '\d+'", plan) for plan in plans), plans
