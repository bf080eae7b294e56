"""The examples of docs/howto/celery-canvas.md do what the page says."""

from __future__ import annotations

import json

import pytest

from offload.celery.result import GroupResult
from offload.testing import run_jobs
from tests import how_to
from tests.how_to import Load

PAGE = how_to.page("celery-canvas")

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("module", "function", "expected"),
    [
        ("signatures", "call_later", 4),
        ("signatures", "call_with_the_rest", 6),
        ("signatures", "call_as_it_is", 4),
        ("chains", "with_a_call", 640),
        ("chains", "with_pipes", 16),
        ("chains", "without_the_result", 8),
        ("groups", "add_pairs", [2 * number for number in range(10)]),
        ("chords", "add_up", 9900),
        ("chords", "add_up_with_pipes", 9900),
        ("chords", "fan_out_and_in", 32),
        ("pages", "count_and_add", 106),
        ("items", "in_one_job", [45, 4950]),
        ("items", "with_several_arguments", [2 * number for number in range(10)]),
    ],
)
def test_an_example_returns_what_it_says(load: Load, module, function, expected):
    result = getattr(load(module), function)()
    run_jobs()

    assert result.get() == expected


def test_a_signature_may_be_stored(load: Load):
    stored = json.loads(json.dumps(load("tasks").add.s(2, 3)))
    result = load("signatures").call_what_was_stored(stored)
    run_jobs(include_scheduled=True)

    assert result.get() == 5


def test_the_errback_gets_the_id_of_the_task_that_failed(load: Load, capsys):
    result = load("chains").with_an_errback()
    run_jobs()

    assert result.state == result.parent.state == "FAILURE"
    assert capsys.readouterr().out == f"The task {result.parent.id} failed.\n"


def test_a_group_is_found_by_its_id(load: Load):
    load("groups").add_to_each(1).save()
    saved = load("groups").add_to_each(2)
    saved.save()
    run_jobs()

    assert GroupResult.restore(saved.id).get() == [12, 22]


def test_chunks_are_a_list_for_each_job(load: Load):
    result = load("items").in_jobs_of_ten()
    run_jobs()

    assert [len(part) for part in result.get()] == [10] * 10


def test_a_task_that_follows_is_a_child(load: Load):
    result = load("pages").find_children()
    run_jobs()

    assert [child.get() for child in result.children] == [12]


def test_a_step_waits_for_its_countdown(load: Load):
    result = load("pages").wait_before_a_step()
    run_jobs()
    assert (result.parent.state, result.state) == ("SUCCESS", "PENDING")
    run_jobs(include_scheduled=True)

    assert result.get() == 8
