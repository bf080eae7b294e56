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
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls that render a document."""
    calls: list[Any] = []
    document = module.document

    def record(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return document(*arguments, **options)

    monkeypatch.setattr(module, "document", record)
    return calls


def test_clients_with_the_same_grants_share_one_document(snapshot, rendered):
    texts = {snapshot.to_json(STATUS, ENGLISH) for _ in range(100)}

    assert len(texts) == len(rendered) == 1


def test_other_grants_give_another_document(snapshot, rendered):
    own = json.loads(snapshot.to_json(STATUS | {"cancel"}, ENGLISH))

    assert own["links"]["cancel"]
    assert json.loads(snapshot.to_json(STATUS, ENGLISH))["links"]["cancel"] is None
    assert len(rendered) == 2


def test_links_have_the_script_prefix_of_the_request(snapshot):
    text = snapshot.to_json(STATUS, ENGLISH._replace(script_prefix="/app/"))

    assert json.loads(text)["links"]["self"] == f"/app/tasks/{snapshot.id}/"
    assert get_script_prefix() == "/"


def test_rendering_restores_the_language(snapshot):
    with translation.override("fr"):
        snapshot.to_json(STATUS, ENGLISH._replace(language="de"))
        snapshot.to_json(STATUS, ENGLISH._replace(language=None))

        assert translation.get_language() == "fr"


def test_the_current_context_has_the_language_of_the_request():
    with translation.override("de"):
        assert RenderContext.current() == RenderContext("de", "/", None)


def test_a_deleted_job_has_no_version(snapshot):
    assert RenderedSnapshot(JobSnapshot(snapshot.id, None)).version is None
