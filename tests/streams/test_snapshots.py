"""Documents as text: made once, in the words of the request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import get_script_prefix
from django.utils import translation

from offload.models import Job
from offload.store.records import JobSnapshot
from offload.streams import snapshots as module
from offload.streams.snapshots import RenderedSnapshot, Wording
from tests.live import tasks

pytestmark = pytest.mark.django_db

STATUS = frozenset({"status"})
ENGLISH = Wording("en", "/", None)


@pytest.fixture
def seen() -> RenderedSnapshot:
    job = Job.objects.get(pk=tasks.private.enqueue().id)
    return RenderedSnapshot(JobSnapshot(job.pk, job))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Count the documents that are made."""
    calls: list[Any] = []
    document = module.document

    def count(*arguments: Any, **more: Any) -> Any:
        calls.append(arguments)
        return document(*arguments, **more)

    monkeypatch.setattr(module, "document", count)
    return calls


def test_all_who_read_it_alike_share_one_document(seen, made):
    texts = {seen.text(STATUS, ENGLISH) for _ in range(100)}

    assert len(texts) == len(made) == 1


def test_who_may_do_more_gets_another_one(seen, made):
    own = json.loads(seen.text(STATUS | {"cancel"}, ENGLISH))

    assert own["links"]["cancel"]
    assert json.loads(seen.text(STATUS, ENGLISH))["links"]["cancel"] is None
    assert len(made) == 2


def test_links_begin_where_the_request_found_us(seen):
    text = seen.text(STATUS, ENGLISH._replace(script_prefix="/app/"))

    assert json.loads(text)["links"]["self"] == f"/app/tasks/{seen.id}/"
    assert get_script_prefix() == "/"


def test_whatever_is_written_the_words_are_those_of_before(seen):
    with translation.override("fr"):
        seen.text(STATUS, ENGLISH._replace(language="de"))
        seen.text(STATUS, ENGLISH._replace(language=None))

        assert translation.get_language() == "fr"


def test_a_request_in_a_language_is_remembered_with_it():
    with translation.override("de"):
        assert Wording.current() == Wording("de", "/", None)


def test_a_job_that_is_gone_has_no_version(seen):
    assert RenderedSnapshot(JobSnapshot(seen.id, None)).version is None
