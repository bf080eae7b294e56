"""The numbers of limits in the code reach the database when a worker starts."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from offload.models import Limit
from offload.store import get_store
from offload.store.limit_records import Definition
from offload.task_limits import LOADED_AT
from offload.worker.limits_in_code import limits_in_code
from offload.worker.upkeep.limit_numbers import COMPARE_INTERVAL, LimitUpkeep
from tests import limited_tasks
from tests.tasks import two_at_once
from tests.worker.clock import Clock
from tests.worker.conftest import RunningWorker, until

POOL: Any = SimpleNamespace(limits_in_code=limits_in_code)
NAME = limited_tasks.single.module_path


def test_a_worker_writes_the_numbers_of_the_code(worker: RunningWorker) -> None:
    limit = until(lambda: Limit.objects.filter(name=two_at_once.module_path).first())

    assert json.loads(limit.definition) == {"max_running": 2}


@pytest.mark.django_db
def test_the_numbers_are_written_once() -> None:
    upkeep = LimitUpkeep(get_store("default"), "default", POOL)
    upkeep.write()
    Limit.objects.get(name=limited_tasks.single.module_path)

    with CaptureQueriesContext(connection) as queries:
        upkeep.write()
        LimitUpkeep(get_store("default"), "default", POOL).write()

    statements = [query["sql"].split()[0] for query in queries if "offload_" in query["sql"]]
    assert statements == ["SELECT"]


@pytest.mark.django_db
def test_a_worker_writes_the_numbers_of_its_own_backend() -> None:
    LimitUpkeep(get_store("default"), "other", POOL).write()

    assert not Limit.objects.exists()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def upkeep(clock: Clock) -> LimitUpkeep:
    return LimitUpkeep(get_store("default"), "default", POOL, clock=clock)


@pytest.mark.django_db
def test_a_worker_with_older_code_logs_it_once(
    upkeep: LimitUpkeep, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    upkeep.write()
    newer = Definition('{"max_running": 5}', LOADED_AT + 1)
    get_store("default").keep_limits({NAME: newer})

    for _ in range(3):
        clock.now += COMPARE_INTERVAL
        upkeep.write()

    (line,) = (record.getMessage() for record in caplog.records)
    assert f"The limit '{NAME}' has the numbers {{\"max_running\": 1}} in the code of this" in line
    assert '{"max_running": 5} in code that was loaded later' in line
