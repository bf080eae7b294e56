"""What users see of workflows and of their parts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.test import RequestFactory
from django.utils import translation

from offload import WorkflowResult, accepted, workflow
from offload.live.access import grants
from offload.live.documents import document, find_details, job_fields, poll_delay_ms
from offload.live.jobs import find_jobs, return_value
from offload.live.widget import widget_context
from offload.models import Job
from offload.store import get_store
from offload.store.records import UNKNOWN_VERSION
from offload.streams.snapshots import RenderedSnapshot
from offload.testing import run_jobs
from tests.live.clients import user_client
from tests.live.document_checks import check_document
from tests.live.tasks import for_all, for_named, private, shown
from tests.workflows import tasks

pytestmark = pytest.mark.django_db

ALL = frozenset({"status", "result", "cancel", "events"})


def start(name: str = "Import", *, returned: Any = None) -> WorkflowResult[Any]:
    with workflow(name) as flow:
        doubled = flow.map(tasks.double, range(9))
        if returned is None:
            flow.add(tasks.total, doubled)
        else:
            flow.returns(flow.add(returned).after(doubled))
    return flow.result


def whole_of(result: WorkflowResult[Any]) -> Job:
    return find_jobs([Job.objects.get(pk=result.id).pk])[Job.objects.get(pk=result.id).pk]


def last_part_of(result: WorkflowResult[Any]) -> Job:
    job = Job.objects.filter(workflow=result.id).order_by("pk").last()
    assert job is not None
    return job


def progress_of(job: Job) -> Any:
    fields = document(job, ALL)
    check_document(fields)
    return fields["progress"]


def test_a_workflow_is_running_and_counts_its_parts():
    result = start()
    Job.objects.filter(pk=result.id).update(waiting_on=7)

    fields = document(whole_of(result), ALL)

    check_document(fields)
    assert (fields["title"], fields["phase"], fields["state"]) == ("Import", "running", "blocked")
    assert (fields["progress"]["done"], fields["progress"]["total"]) == (3, 10)
    assert fields["progress"]["percent"] == 30
    assert fields["progress"]["message"] == "3 of 10 parts done"
    assert fields["poll_ms"] == 500
    assert fields["links"]["cancel"] is not None


def test_a_part_says_for_how_many_others_it_waits():
    part = last_part_of(start())
    Job.objects.filter(pk=part.pk).update(waiting_on=3)
    part.refresh_from_db()

    fields = document(part, ALL)

    check_document(fields)
    assert fields["phase"] == "blocked"
    assert fields["progress"]["message"] == "waits for 3 of 9 others"
    assert (fields["progress"]["done"], fields["progress"]["total"]) == (6, 9)
    assert fields["progress"]["percent"] is None


def test_a_part_that_waits_for_one_other():
    with workflow("Two") as flow:
        flow.add(tasks.echo, flow.add(tasks.fetch, "x"))

    assert progress_of(last_part_of(flow.result))["message"] == "waits for one other"


@pytest.mark.parametrize(
    ("language", "whole", "part"),
    [
        ("de", "0 von 10 Teilen fertig", "wartet auf 9 von 9 anderen"),
        ("fr", "0 parties terminées sur 10", "attend 9 autres tâches sur 9"),
    ],
)
def test_the_texts_are_translated(language: str, whole: str, part: str):
    result = start()

    with translation.override(language):
        assert progress_of(whole_of(result))["message"] == whole
        assert progress_of(last_part_of(result))["message"] == part


def test_a_part_shows_no_references_to_the_results_of_others():
    with workflow("Split") as flow:
        part = flow.add(tasks.add_shown).named("split")
        flow.returns(part)
    run_jobs()
    identifier = UUID(flow.result.node("split").id)

    job = find_jobs([identifier])[identifier]

    assert document(job, ALL)["result"] is None
    assert document(whole_of(flow.result), ALL)["result"] == [[2, 4]]
    assert return_value(job) == "[[2,4]]"


def test_a_cancelled_workflow_ends_after_its_parts():
    job = whole_of(start())
    job.cancel_requested_at = job.enqueued_at

    fields = document(job, ALL)

    assert fields["phase"] == "cancelling"
    assert fields["links"]["cancel"] is None


def test_the_element_shows_the_progress_of_the_whole():
    result = start()
    Job.objects.filter(pk=result.id).update(waiting_on=5)
    request = RequestFactory().get("/")

    context = widget_context(request, document(whole_of(result), ALL))

    assert context["phase_label"] == "Running"
    assert context["details"] == "5 of 10 parts done"
    assert context["progress_value"] == "50.0"


def test_a_waiting_part_needs_no_query_for_its_delay(django_assert_num_queries: Any):
    part = last_part_of(start())
    part.run_after = part.run_after.replace(year=2025)

    with django_assert_num_queries(0):
        assert find_details([part])[part.pk].queue_position is None
        assert poll_delay_ms(part) == 30_000


def test_a_workflow_belongs_to_the_user_of_the_request():
    client = user_client("ada")
    request = RequestFactory().get("/")
    request.user = client.get("/").wsgi_request.user  # type: ignore[attr-defined]
    request.session = client.session

    anyone = start(returned=for_all)

    assert "result" in grants(request, whole_of(anyone))
    assert "status" not in grants(request, whole_of(start(returned=private)))


def test_a_callable_of_a_task_does_not_decide_about_the_workflow():
    request = RequestFactory().get("/")

    assert grants(request, whole_of(start(returned=for_named))) == frozenset()


def test_one_task_does_not_decide_who_sees_the_result_of_another():
    with workflow("Both") as flow:
        flow.returns(flow.group([flow.add(for_all), flow.add(private)]))

    assert grants(RequestFactory().get("/"), whole_of(flow.result)) == frozenset()


def test_the_result_is_exposed_if_the_task_that_makes_it_exposes_it():
    result = start(returned=shown)
    Job.objects.filter(pk=result.id).update(
        state=4, waiting_on=0, return_value="42", finished_at="2026-01-01T00:00Z"
    )

    assert document(whole_of(result), ALL)["result"] == 42


def test_a_view_accepts_a_workflow(rf: RequestFactory):
    client = user_client("ada")
    request = rf.post("/", headers={"Accept": "application/json"})
    request.user = client.get("/").wsgi_request.user  # type: ignore[attr-defined]
    request.session = client.session

    response = accepted(request, start())

    assert response.status_code == 202
    assert b'"title": "Import"' in response.content


def test_a_stream_renders_a_workflow_without_a_query(django_assert_num_queries: Any):
    result = start("Streamed")
    store = get_store("default")
    pk = Job.objects.get(pk=result.id).pk

    (snapshot,) = store.changed_since({pk: UNKNOWN_VERSION})

    with django_assert_num_queries(0):
        assert snapshot.job is not None
        fields = document(snapshot.job, ALL)
    assert fields["title"] == "Streamed"
    assert RenderedSnapshot(snapshot).version == 0


def test_damaged_arguments_of_a_workflow_hide_its_name():
    result = start()
    Job.objects.filter(pk=result.id).update(arguments="[]")

    fields = job_fields(Job.objects.get(pk=result.id))

    assert fields["title"] == "Workflow"
