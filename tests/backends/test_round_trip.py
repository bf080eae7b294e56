"""Arguments and return values survive a round trip through each database exactly."""

import pytest
from django.tasks import default_task_backend
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from offload.exceptions import InvalidArguments
from offload.lifecycle import JobFailure, failed, succeeded
from offload.models import Attempt, Job
from offload.serialization import decode, encode_result
from offload.text import to_storable_text
from tests.jobs import claim, finish, register_worker
from tests.tasks import anything, plain

MEGABYTE = 1024**2

texts = st.text() | st.text(st.characters(codec="utf-8", exclude_characters="\0"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=15,
)
often = settings(max_examples=60)


class RoundTripTests(TestCase):
    @often
    @given(value=values)
    def test_arguments_reach_the_worker_and_the_result_unchanged(self, value):
        try:
            result = anything.enqueue(value, name=value)
        except InvalidArguments:
            return

        (job,) = claim(register_worker())
        assert repr(decode(job.arguments)) == repr([[value], {"name": value}])
        reloaded = default_task_backend.get_result(result.id)
        assert repr((reloaded.args, reloaded.kwargs)) == repr(([value], {"name": value}))
        assert repr((result.args, result.kwargs)) == repr((reloaded.args, reloaded.kwargs))

    @often
    @given(value=values | st.sampled_from(["NULL", "null", "{}", "\\", '"', "a,b", ""]))
    def test_arguments_of_many_jobs_are_stored_as_those_of_one(self, value):
        try:
            results = anything.enqueue_many([((value,), {}), ((), {"name": value})])
        except InvalidArguments:
            return

        for result in results:
            reloaded = default_task_backend.get_result(result.id)
            assert repr((reloaded.args, reloaded.kwargs)) == repr((result.args, result.kwargs))
        assert repr(results[0].args) == repr([value])

    @often
    @given(value=values)
    def test_return_values_come_back_unchanged(self, value):
        try:
            text = encode_result(value, max_bytes=MEGABYTE)
        except ValueError:
            return
        result = plain.enqueue(None)
        finish(succeeded(text))

        result.refresh()

        assert repr(result.return_value) == repr(decode(text)) == repr(value)

    @often
    @given(text=st.text(st.characters(codec=None)))
    def test_every_error_can_be_stored(self, text):
        stored = to_storable_text(text, max_chars=1000)
        result = plain.enqueue(None)
        finish(failed(JobFailure("builtins.ValueError", stored, stored)))

        result.refresh()

        assert result.errors[0].traceback == stored
        assert Attempt.objects.get(job_id=result.id).message == stored


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value",
    ["x" * MEGABYTE, "é" * (MEGABYTE // 2), "\U0001f600" * (MEGABYTE // 4), list(range(100_000))],
    ids=["ascii", "two bytes", "four bytes", "numbers"],
)
def test_arguments_of_a_megabyte_are_stored_and_found(value):
    result = plain.enqueue(value)
    many = plain.enqueue_many([((value,), {})] * 3)

    assert default_task_backend.get_result(result.id).args == [value]
    assert default_task_backend.get_result(many[-1].id).args == [value]
    assert len({job.arguments for job in Job.objects.all()}) == 1
