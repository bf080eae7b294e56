"""Snapshots of jobs, rendered once for all clients that may see the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import get_script_prefix
from django.utils import translation

from offload.models import Job
from offload.store.records import JobSnapshot
from offload.streams import snapshots as module
from offload.streams.snapshots import RenderContext, RenderedSnapshot
from tests.live import tasks

pytestmark = pytest.mark.django_db

STATUS = frozenset({"status"})
ENGLISH = RenderContext("en", "/", None)


@pytest.fixture
def snapshot() -> RenderedSnapshot:
    job = Job.objects.get(pk=tasks.private.enqueue().id)
    return RenderedSnapshot(JobSnapshot(job.pk, job))


@pytest.fixture
def documents(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Count the documents that are documents."""
    calls: list[Any] = []
    document = module.document

    def count(*arguments: Any, **more: Any) -> Any:
        calls.append(arguments)
        return document(*arguments, **more)

    monkeypatch.setattr(module, "document", count)
    return calls


def test_all_who_read_it_alike_share_one_document(snapshot, documents):
    texts = {snapshot.to_json(STATUS, ENGLISH) for _ in range(100)}

    assert len(texts) == len(documents) == 1


def test_who_may_do_more_gets_another_one(snapshot, documents):
    own = json.loads(snapshot.to_json(STATUS | {"cancel"}, ENGLISH))

    assert own["links"]["cancel"]
    assert json.loads(snapshot.to_json(STATUS, ENGLISH))["links"]["cancel"] is None
    assert len(documents) == 2


def test_links_begin_where_the_request_found_us(snapshot):
    text = snapshot.to_json(STATUS, ENGLISH._replace(script_prefix="/app/"))

    assert json.loads(text)["links"]["self"] == f"/app/tasks/{snapshot.id}/"
    assert get_script_prefix() == "/"


def test_whatever_is_written_the_words_are_those_of_before(snapshot):
    with translation.override("fr"):
        snapshot.to_json(STATUS, ENGLISH._replace(language="de"))
        snapshot.to_json(STATUS, ENGLISH._replace(language=None))

        assert translation.get_language() == "fr"


def test_a_request_in_a_language_is_remembered_with_it():
    with translation.override("de"):
        assert RenderContext.current() == RenderContext("de", "/", None)


def test_a_job_that_is_gone_has_no_version(snapshot):
    assert RenderedSnapshot(JobSnapshot(snapshot.id, None)).version is None
