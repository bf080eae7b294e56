"""Plans in a table about which the database knows nothing yet, as after the first deploy."""

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


@pytest.mark.skipif(connection.vendor == "postgresql", reason="it counts pages by itself")
@pytest.mark.parametrize(("ended", "running"), [(20_000, 10), (100, 3_000)])
def test_orphans_are_looked_for_among_running_jobs_only(ended: int, running: int) -> None:
    fill(ended, JobState.SUCCESSFUL, finished_at=timezone.now())
    fill(running, JobState.RUNNING, worker=UUID(register_worker()))

    with explained() as plans:
        assert get_store("default").rescue() == []

    assert_index(plans, "offload_job_running")
    if connection.vendor == "mysql":  # its plan also names indexes that it does not use
        assert any(re.search(r"'offload_job_running', '\d+'", plan) for plan in plans), plans
