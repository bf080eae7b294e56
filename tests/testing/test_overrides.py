"""immediate() and recording() work as blocks and as decorators of tests and classes."""

from __future__ import annotations

import unittest
from typing import Any

import pytest
from django.tasks import task_backends
from django.test import SimpleTestCase, override_settings

from offload.backends.database import DatabaseBackend
from offload.testing import (
    ImmediateBackend,
    RecordingBackend,
    assert_enqueued,
    assert_not_enqueued,
    enqueued_jobs,
    immediate,
    recording,
)
from tests import tasks as common
from tests.testing.tasks import note


@recording()
class DecoratedTests(SimpleTestCase):
    """Each test enqueues a job and does not see those of the others."""

    def test_one(self) -> None:
        note.enqueue(1)
        assert_enqueued(note, count=1)

    def test_two(self) -> None:
        note.enqueue(2)
        assert_enqueued(note, count=1)

    @immediate()
    def test_with_another_backend(self) -> None:
        assert note.enqueue(3).return_value == 3

    async def test_async(self) -> None:
        await note.aenqueue(4)
        assert_enqueued(note, count=1)


def test_each_test_of_a_class_starts_without_jobs_with_any_runner():
    outcome = unittest.TestResult()

    unittest.defaultTestLoader.loadTestsFromTestCase(DecoratedTests).run(outcome)

    assert outcome.testsRun == 4
    assert outcome.wasSuccessful(), outcome.failures + outcome.errors


@immediate(raise_errors=True)
class DecoratedRaisingTests(SimpleTestCase):
    def test_errors_are_raised(self) -> None:
        with pytest.raises(ValueError, match="broken"):
            common.fail.enqueue("broken")


@recording()
def test_on_a_function():
    note.enqueue()
    assert_enqueued(note)


@recording()
async def on_an_async_function() -> int:
    await note.aenqueue()
    return len(enqueued_jobs())


def test_on_an_async_function():
    from asgiref.sync import async_to_sync  # noqa: PLC0415

    assert async_to_sync(on_an_async_function)() == 1


def test_the_backend_is_replaced_only_within_the_block():
    assert type(task_backends["default"]) is DatabaseBackend
    with recording():
        assert type(task_backends["default"]) is RecordingBackend
        with immediate():
            assert type(task_backends["default"]) is ImmediateBackend
        assert type(task_backends["default"]) is RecordingBackend
    assert type(task_backends["default"]) is DatabaseBackend


def test_each_block_has_its_own_jobs():
    with recording():
        note.enqueue("outer")
        with immediate():
            assert_not_enqueued()
            note.enqueue("inner")
            assert_enqueued(note, args=["inner"])
        assert [job.args for job in enqueued_jobs()] == [["outer"]]
    with recording():
        assert_not_enqueued()


def test_queues_and_options_are_kept():
    tasks = {
        "default": {
            "BACKEND": "offload.backends.database.DatabaseBackend",
            "QUEUES": ["default", "slow"],
            "OPTIONS": {"max_attempts": 4},
        },
        "other": {
            "BACKEND": "django.tasks.backends.immediate.ImmediateBackend",
            "OPTIONS": {"unknown": 1},
        },
    }
    with override_settings(TASKS=tasks), recording():
        default: Any = task_backends["default"]
        other: Any = task_backends["other"]

        assert default.queues == {"default", "slow"}
        assert default.settings.max_attempts == 4
        assert other.queues == {"default"}
        assert other.settings.max_attempts == 1


def test_raise_errors_is_not_passed_to_an_inner_backend():
    with immediate(raise_errors=True), recording():
        note.enqueue()
        assert_enqueued(note)
    with immediate(raise_errors=True), immediate():
        common.fail.enqueue()


def test_recorded_jobs_can_be_cleared():
    with recording():
        note.enqueue()
        task_backends["default"].clear()
        assert_not_enqueued()


def test_a_change_of_the_setting_clears_recorded_jobs():
    path = "offload.testing.RecordingBackend"
    with override_settings(TASKS={"default": {"BACKEND": path}}):
        note.enqueue()
        with override_settings(TASKS={"default": {"BACKEND": path, "QUEUES": []}}):
            assert_not_enqueued()


def test_the_module_has_no_other_names():
    import offload.testing  # noqa: PLC0415

    for name in offload.testing.__all__:
        assert getattr(offload.testing, name)
    with pytest.raises(AttributeError, match="record"):
        _ = offload.testing.record
