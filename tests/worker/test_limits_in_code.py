"""The limits of the tasks that the processes of a worker have loaded."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from offload import Concurrency, Rate
from offload.store.limit_records import Definition
from offload.task_limits import LOADED_AT, LimitOptions, TaskLimit
from offload.worker.limits_in_code import LimitsInCode, limits_in_code
from offload.worker.pools.child_limits import ChildLimits
from offload.worker.pools.processes import ProcessPool
from tests import limited_tasks
from tests.worker import tasks
from tests.worker.conftest import until
from tests.worker.job_runs import claimed
from tests.worker.pools.running_pool import RunningPool

NAME = limited_tasks.single.module_path
"""A limit of a module that the fork server does not load."""


def limits(loaded_at: int, **numbers: int) -> LimitsInCode:
    text = {name: json.dumps({"max_running": number}) for name, number in numbers.items()}
    return LimitsInCode(loaded_at, {"default": text})


def test_processes_with_equal_code_add_up() -> None:
    merged = limits(1, crm=2).merged_with(limits(1, erp=3))

    assert merged == limits(1, crm=2, erp=3)
    assert merged.of_backend("default")["erp"] == Definition('{"max_running": 3}', 1)
    assert merged.of_backend("other") == {}


def test_of_code_that_was_loaded_again_only_the_later_counts() -> None:
    old, new = limits(1, crm=2, gone=3), limits(2, crm=5)

    assert old.merged_with(new) == new.merged_with(old) == new


def test_of_tasks_that_disagree_the_smaller_numbers_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = define(Concurrency(3, key="{shop}", name="crm"), Rate("10/s", burst=9, name="crm"))
    second = define(Concurrency(5, key="{shop}", total=7, name="crm"), None)
    for order in ([first, second], [second, first]):
        defined = {str(number): limit for number, limit in enumerate(order)}
        monkeypatch.setattr("offload.task_limits._defined", defined)

        (numbers,) = limits_in_code().numbers["default"].values()

        assert json.loads(numbers) == {
            "max_running": 3,
            "total": 7,
            "total_interval": 100_000,
            "total_burst": 9,
        }
    assert "The tasks that share the limit 'crm' have different numbers" in caplog.text


def define(concurrency: Concurrency, rate: Rate | None) -> TaskLimit:
    def export(shop: int) -> None: ...

    options = LimitOptions(
        export, takes_context=False, concurrency=concurrency, rate=rate, fair=None
    )
    return TaskLimit(options, "a.task", "default")


@pytest.fixture
def running(child_environment: None) -> Iterator[RunningPool]:
    limits = ChildLimits(
        threads=2,
        async_slots=3,
        async_threads=1,
        kill_grace_period=0.3,
        using="default",
        lease=30.0,
    )
    pool = ProcessPool(processes=1, limits=limits)
    yield RunningPool(pool)
    pool.stop()


def test_a_child_reports_the_limits_of_tasks_that_it_loads_and_they_outlive_it(
    running: RunningPool,
) -> None:
    assert NAME not in running.pool.limits_in_code().of_backend("default")
    running.run(claimed(limited_tasks.single))

    until(lambda: running.step() or NAME in running.pool.limits_in_code().of_backend("default"))

    definition = running.pool.limits_in_code().of_backend("default")[NAME]
    assert json.loads(definition.text) == {"max_running": 1}
    assert definition.loaded_at > LOADED_AT  # of the fork server, which was started later
    (outcome,) = running.run(claimed(tasks.log_word, "pid"))
    os.kill(int(outcome.return_value or 0), signal.SIGKILL)
    until(lambda: running.step() or not running.pool.capacity(is_async=False))
    assert NAME in running.pool.limits_in_code().of_backend("default")
