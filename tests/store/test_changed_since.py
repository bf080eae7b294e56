"""The query of watched jobs returns only the changed ones, as subscribers are shown them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from offload.lifecycle import JobState, failed, succeeded
from offload.models import Job
from offload.store import get_store
from offload.store.records import UNKNOWN_VERSION, JobSnapshot
from offload.uuid7 import new_id
from tests.jobs import FAILURE, claim, finish, register_worker
from tests.tasks import add

pytestmark = pytest.mark.django_db


def changed_since(*known: tuple[Any, int]) -> list[JobSnapshot]:
    versions = {UUID(str(job)): version for job, version in known}
    return sorted(get_store("default").changed_since(versions))


def version(result: Any) -> int:
    return Job.objects.get(pk=result.id).version


def test_a_job_of_unknown_version_is_returned():
    result = add.enqueue(1)

    (snapshot,) = changed_since((result.id, UNKNOWN_VERSION))

    assert (str(snapshot.id), snapshot.failure, snapshot.is_finished) == (result.id, None, False)
    assert snapshot.job is not None
    assert (snapshot.job.pk, snapshot.job.state, snapshot.job.version) == (
        UUID(result.id),
        JobState.READY,
        0,
    )
    assert snapshot.job.enqueued_at == result.enqueued_at


def test_only_jobs_with_a_newer_version_are_returned():
    one, two, three = (add.enqueue(number) for number in range(3))
    claim(register_worker())

    changed = changed_since((one.id, 0), (two.id, 1), (three.id, 7))

    assert [str(job.id) for job in changed] == [one.id]


def test_each_change_makes_a_newer_version():
    result = add.enqueue(1)
    versions = [version(result)]
    worker = register_worker()
    (job,) = claim(worker)
    versions.append(version(result))
    get_store("default").cancel(UUID(result.id))
    versions.append(version(result))
    get_store("default").finish([(job, succeeded("1"))])
    versions.append(version(result))

    assert versions == sorted(set(versions))


def test_a_deleted_job_is_returned_without_a_row():
    unknown = new_id()

    assert changed_since((unknown, 3)) == [JobSnapshot(unknown, None)]
    assert changed_since((unknown, 3))[0].is_finished


def test_a_failed_job_is_returned_with_its_failure():
    good = add.enqueue(1)
    finish(succeeded("1"))
    bad = add.enqueue(1)
    finish(failed(FAILURE))

    succeeded_job, failed_job = sorted(
        changed_since((good.id, 0), (bad.id, 0)), key=lambda snapshot: str(snapshot.id) == bad.id
    )

    assert succeeded_job.failure is None
    assert failed_job.failure is not None
    assert failed_job.failure.message == FAILURE.message
    assert succeeded_job.is_finished
    assert failed_job.is_finished


def test_one_statement_reads_all_jobs(django_assert_num_queries):
    known = [(add.enqueue(number).id, UNKNOWN_VERSION) for number in range(200)]

    with django_assert_num_queries(1):
        assert len(changed_since(*known)) == 200
    with django_assert_num_queries(0):
        assert changed_since() == []


def test_arguments_are_not_read():
    result = add.enqueue(1)

    (snapshot,) = changed_since((result.id, UNKNOWN_VERSION))

    assert snapshot.job is not None
    assert snapshot.job.get_deferred_fields() == {"arguments"}
