"""Looking at watched jobs: only what is new, with what people are shown."""

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
    found = get_store("default").changed_since({UUID(str(job)): version for job, version in known})
    return sorted(found)


def version(result: Any) -> int:
    return Job.objects.get(pk=result.id).version


def test_a_job_of_which_nothing_is_known_is_new():
    result = add.enqueue(1)

    (seen,) = changed_since((result.id, UNKNOWN_VERSION))

    assert (str(seen.id), seen.failure, seen.is_finished) == (result.id, None, False)
    assert seen.job is not None
    assert (seen.job.pk, seen.job.state, seen.job.version) == (UUID(result.id), JobState.READY, 0)
    assert seen.job.enqueued_at == result.enqueued_at


def test_only_what_has_a_newer_version_is_returned():
    one, two, three = (add.enqueue(number) for number in range(3))
    claim(register_worker())

    seen = changed_since((one.id, 0), (two.id, 1), (three.id, 7))

    assert [str(job.id) for job in seen] == [one.id]


def test_each_change_is_newer_than_the_one_before():
    result = add.enqueue(1)
    seen = [version(result)]
    worker = register_worker()
    (job,) = claim(worker)
    seen.append(version(result))
    get_store("default").cancel(UUID(result.id))
    seen.append(version(result))
    get_store("default").finish([(job, succeeded("1"))])
    seen.append(version(result))

    assert seen == sorted(set(seen))


def test_a_job_that_is_gone_is_told_as_such():
    unknown = new_id()

    assert changed_since((unknown, 3)) == [JobSnapshot(unknown, None)]
    assert changed_since((unknown, 3))[0].is_finished


def test_how_it_failed_comes_along():
    good = add.enqueue(1)
    finish(succeeded("1"))
    bad = add.enqueue(1)
    finish(failed(FAILURE))

    well, badly = sorted(
        changed_since((good.id, 0), (bad.id, 0)), key=lambda seen: str(seen.id) == bad.id
    )

    assert well.failure is None
    assert badly.failure is not None
    assert badly.failure.message == FAILURE.message
    assert well.is_finished
    assert badly.is_finished


def test_one_statement_looks_at_all_of_them(django_assert_num_queries):
    known = [(add.enqueue(number).id, UNKNOWN_VERSION) for number in range(200)]

    with django_assert_num_queries(1):
        assert len(changed_since(*known)) == 200
    with django_assert_num_queries(0):
        assert changed_since() == []


def test_arguments_are_not_read():
    result = add.enqueue(1)

    (seen,) = changed_since((result.id, UNKNOWN_VERSION))

    assert seen.job is not None
    assert seen.job.get_deferred_fields() == {"arguments"}
