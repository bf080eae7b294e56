"""`map`, `starmap` and `chunks`."""

from __future__ import annotations

import pytest

from offload.celery import chunks, signature, xmap, xstarmap
from offload.models import Job
from tests.celery.tasks import add, add_all, with_options

pytestmark = pytest.mark.django_db


def test_map_calls_the_task_for_each_item_in_one_job(finish):
    result = add_all.map([range(3), range(4)]).apply_async()
    finish()

    assert result.get() == [3, 6]


def test_starmap_calls_the_task_with_the_items_as_its_arguments(finish):
    result = add.starmap(zip(range(3), range(3), strict=True)).delay()
    finish()

    assert result.get() == [0, 2, 4]


def test_chunks_are_jobs_of_some_items_each(finish):
    result = add.chunks(zip(range(5), range(5), strict=True), 2)()
    finish()

    assert result.get() == [[0, 2], [4, 6], [8]]


def test_chunks_are_as_many_jobs_as_chunks():
    add.chunks([(1, 1)] * 10, 4)()

    assert Job.objects.count() == 4  # with that of the workflow


def test_a_group_of_chunks_may_be_skewed(finish):
    result = add.chunks([(1, 1), (2, 2)], 1).group().skew(start=1, stop=10)()
    finish()

    assert result.get() == [[2], [4]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: xmap(add_all, [[1]]),
        lambda: xstarmap(add, [(1, 2)]),
        lambda: chunks(add, [(1, 2)], 2),
    ],
    ids=["xmap", "xstarmap", "chunks"],
)
def test_they_may_be_stored_as_json(make, finish):
    import json  # noqa: PLC0415

    made = signature(json.loads(json.dumps(make())))
    first, again = make().apply_async(), made.apply_async()
    finish()

    assert type(made) is type(make())
    assert first.get() == again.get()


def test_a_job_of_chunks_is_in_the_queue_of_the_task():
    result = with_options.map([]).apply_async()

    assert Job.objects.get(pk=result.id).queue_name == "mail"
