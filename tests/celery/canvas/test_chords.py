"""`chord`."""

from __future__ import annotations

import pytest

from offload.celery import chain, chord, group, signature
from offload.celery.exceptions import ChordError
from offload.celery.result import AsyncResult, GroupResult
from offload.models import Job
from offload.testing import run_jobs
from tests.celery import tasks
from tests.celery.tasks import add, add_all, fail, listed, same

pytestmark = pytest.mark.django_db

CHORDS = {
    "of a generator": (lambda: chord((add.s(i, i) for i in range(4)), add_all.s()), 12),
    "of one": (lambda: chord([add.s(1, 1)], same.s()), [2]),
    "of none": (lambda: chord([], listed.s()), [[]]),
    "of none in a chain": (lambda: chain(add.s(1, 1), chord([], listed.s())), [[]]),
    "by |": (lambda: group(add.s(1, 1), add.s(2, 2)) | add_all.s(), 6),
    "by | of one": (lambda: group([add.s(1, 1)]) | same.s(), [2]),
    "in a chord": (
        lambda: chord([chord([add.s(1, 1), add.s(2, 2)], add_all.s()), add.s(3, 3)], add_all.s()),
        12,
    ),
    "in a chain": (
        lambda: add.s(1, 1) | chord([add.s(1), add.s(2)], add_all.s()) | add.s(1),
        8,
    ),
    "with a chain that ends in a group": (
        lambda: chord([chain(same.s(42), group(same.s(), same.s())), same.s(1)], same.s()),
        [[42, 42], 1],
    ),
    "with a group as its body": (
        lambda: chord([add.s(1, 1), add.s(2, 2)], group(add_all.s(), same.s())),
        [6, [2, 4]],
    ),
    "with a chain as its body": (
        lambda: chord([add.s(1, 1), add.s(2, 2)], add_all.s() | add.s(1)),
        7,
    ),
    "before a task": (lambda: chord([add.s(1, 1), add.s(2, 2)], add_all.s()) | add.s(1), 7),
    "before a group": (
        lambda: chord([add.s(1, 1), add.s(2, 2)], add_all.s()) | group(add.s(1), add.s(2)),
        [7, 8],
    ),
    "with an immutable body": (lambda: chord([add.s(1, 1), add.s(2, 2)], listed.si(7)), [7]),
    "with a chain as its header": (lambda: chord(add.s(1, 1) | add.s(2, 2), same.s()), [2, 4]),
    "of chunks": (lambda: add.chunks([(1, 1), (2, 2)], 1).group() | same.s(), [[2], [4]]),
}


def test_no_body_follows_a_header_of_which_a_task_raised_ignore(finish):
    result = chord([add.s(1, 1), tasks.ignore.si()], tasks.note.s())()
    finish()

    assert tasks.events == []
    assert AsyncResult(result.id).state == "IGNORED"


def test_a_body_fails_if_a_task_failed_before_another_raised_ignore(finish):
    result = chord([fail.s("no"), tasks.ignore.si()], tasks.note.s())()
    finish()

    assert tasks.events == []
    assert type(AsyncResult(result.id).result) is ChordError


@pytest.mark.parametrize("name", CHORDS)
def test_a_chord_returns_what_celery_returns(name, finish):
    make, expected = CHORDS[name]
    result = make()()
    finish()

    assert result.get() == expected


@pytest.mark.parametrize("name", CHORDS)
def test_a_chord_may_be_stored_as_json(name, finish):
    import json  # noqa: PLC0415

    make, expected = CHORDS[name]
    result = signature(json.loads(json.dumps(make())))()
    finish()

    assert result.get() == expected


def test_the_body_may_be_given_by_the_call(finish):
    result = chord(add.s(i, i) for i in range(3))(add_all.s())
    finish()

    assert result.get() == 6
    assert isinstance(result.parent, GroupResult)
    assert result.parent.get() == [0, 2, 4]


def test_a_chord_needs_a_body():
    with pytest.raises(TypeError, match="body"):
        chord([add.s(1, 1)])()


def test_the_body_waits_for_all_tasks_of_the_header():
    result = chord([add.s(1, 1), add.s(2, 2).set(countdown=60)], add_all.s())()
    run_jobs()

    assert result.state == "PENDING"
    assert result.parent.completed_count() == 1


def test_a_countdown_delays_the_header():
    chord([add.s(1, 1)], add_all.s()).apply_async(countdown=60)

    assert run_jobs() == []
    assert len(run_jobs(include_scheduled=True)) == 2


def test_options_are_those_of_all_tasks_and_the_id_is_that_of_the_body():
    result = chord([add.s(1, 1)], add_all.s()).apply_async(queue="mail", task_id="mine")

    assert result.id == "mine"
    jobs = Job.objects.exclude(run_when=None)
    assert set(jobs.values_list("queue_name", flat=True)) == {"mail"}


def test_arguments_of_the_call_are_those_of_the_header(finish):
    result = chord([listed.s(1, a=1)], same.s()).apply_async((0,), {"b": 3})
    finish()

    assert result.get() == [[0, 1, {"a": 1, "b": 3}]]


def test_a_failed_header_is_a_chord_error_with_its_cause(finish):
    result = chord([add.s(1, 1), fail.s("no")], add_all.s())()
    finish()

    body = AsyncResult(result.id)
    assert body.state == "FAILURE"
    assert isinstance(body.result, ChordError)
    assert repr(body.result.__cause__) == "ValueError('no')"
    assert str(body.result) == f"Dependency {result.parent[1].id} raised ValueError('no')"
    assert result.parent[0].state == "SUCCESS"
    with pytest.raises(ChordError):
        body.get(timeout=0)


def test_the_result_of_the_call_raises_the_exception_of_the_header(finish):
    result = chord([add.s(1, 1), fail.s("no")], add_all.s())()
    finish()

    with pytest.raises(ValueError, match="no"):
        result.get(timeout=0)
    with pytest.raises(ChordError):
        result.get(timeout=0, follow_parents=False)


def test_what_follows_the_body_has_the_chord_error_too(finish):
    result = chord([add.s(1, 1), fail.s("no")], add_all.s() | add.s(1))()
    finish()

    assert isinstance(AsyncResult(result.id).result, ChordError)


def test_a_failed_body_has_its_own_exception(finish):
    result = (chord([add.s(1, 1)], fail.si("body")) | add.s(1))()
    finish()

    assert repr(AsyncResult(result.id).result) == "ValueError('body')"
    assert repr(AsyncResult(result.parent.id).result) == "ValueError('body')"


def test_a_chain_in_the_header_fails_the_body():
    result = chord([chain(fail.s("no"), add.s(1)), add.s(1, 1)], add_all.s())()
    run_jobs()

    assert repr(AsyncResult(result.parent[0].id).result) == "ValueError('no')"
    assert repr(AsyncResult(result.id).result.__cause__) == "ValueError('no')"


@pytest.mark.parametrize("fails", ["header", "body"])
def test_an_errback_follows_a_failure_of_header_or_body(finish, fails):
    header = [add.s(1, 1), fail.s("header") if fails == "header" else add.s(2, 2)]
    body = fail.si("body") if fails == "body" else add_all.s()
    result = chord(header, body).on_error(tasks.note_failed_id.s()).apply_async()
    finish()

    assert tasks.events == [("id", result.id)]


def test_an_errback_of_three_arguments_gets_the_chord_error():
    tasks.events.clear()
    body = add_all.s().on_error(tasks.note_failure.s())
    result = chord([add.s(1, 1), fail.s("no")], body)()
    run_jobs()

    [(task_id, _, error, _)] = tasks.events
    assert task_id == result.id
    assert error.startswith("ChordError(")


def test_callbacks_follow_the_body(finish):
    chord([add.s(1, 1), add.s(2, 2)], add_all.s()).apply_async(link=tasks.note.s())
    finish()

    assert tasks.events == [[6]]


def test_revoking_a_task_of_the_header_revokes_the_body():
    result = chord([add.s(1, 1), add.s(2, 2)], add_all.s())()
    result.parent[0].revoke()
    run_jobs()

    assert [result.parent[0].state, result.parent[1].state] == ["REVOKED", "SUCCESS"]
    assert result.state == "REVOKED"
