"""The ownership of jobs enqueued outside of requests and by other jobs."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.http import HttpResponse
from django.test import RequestFactory

import offload
from offload.middleware import OffloadMiddleware
from offload.models import Job
from offload.testing import immediate, run_jobs
from offload.testing.jobs import find_rows, get_inspectable_backend
from tests.live.clients import start_job, user_client
from tests.owners import owner_and_tenant, tenants
from tests.tasks import add
from tests.testing.tasks import afan_out, fan_out

pytestmark = pytest.mark.django_db


# --- code outside of requests -------------------------------------------------------------------


def test_acting_for_a_user():
    ada = User.objects.create_user("ada")

    with offload.acting_for(ada):
        add.enqueue(1)

    assert owner_and_tenant() == (f"user:{ada.pk}", "")
    assert Job.objects.get(pk=add.enqueue(2).id).owner == ""


def test_acting_for_a_user_of_a_tenant():
    ada = User.objects.create_user("ada")

    with offload.acting_for(ada, tenant="acme"):
        add.enqueue(1)

    assert owner_and_tenant() == (f"user:{ada.pk}", "acme")


def test_acting_for_another_user_in_a_request_keeps_its_tenant_and_id():
    ada = User.objects.create_user("ada")

    def view(request):
        with offload.acting_for(ada):
            add.enqueue(1)
        with offload.acting_for(None):
            add.enqueue(2)
        return HttpResponse()

    with tenants():
        request = RequestFactory().get("/", headers={"host": "acme.example", "X-Request-ID": "r1"})
        request.user = User.objects.create_user("ben")
        OffloadMiddleware(view)(request)

    kept = Job.objects.order_by("pk").values_list("owner", "tenant", "request_id")
    assert list(kept) == [(f"user:{ada.pk}", "acme", "r1"), ("", "acme", "r1")]


@pytest.mark.parametrize("user", ["ada", 5, "user:1", {"pk": 1}])
def test_acting_for_something_else_than_a_user_is_refused(user):
    with pytest.raises(TypeError, match=r"is not a user. Pass an instance of auth\.User"):
        offload.acting_for(user).__enter__()
    with pytest.raises(TypeError, match="A tenant must be text, not 5"):
        offload.acting_for(None, tenant=5).__enter__()


def test_acting_for_a_user_who_cannot_own_jobs_is_refused():
    with pytest.raises(ValueError, match="before it is saved"), offload.acting_for(User()):
        pass
    with (
        pytest.raises(ValueError, match="64 characters"),
        offload.acting_for(None, tenant="x" * 65),
    ):
        pass
    with offload.acting_for(AnonymousUser()):
        add.enqueue(1)

    assert owner_and_tenant() == ("", "")


# --- jobs enqueued by jobs ----------------------------------------------------------------------


@pytest.mark.parametrize("task", [fan_out, afan_out])
def test_a_job_enqueued_by_a_job_inherits_its_ownership(task):
    ada = User.objects.create_user("ada")
    with offload.acting_for(ada, tenant="acme"):
        parent = task.enqueue(1)
    Job.objects.update(request_id="r1")

    run_jobs()

    child = Job.objects.exclude(pk=parent.id).get()
    assert (child.owner, child.tenant, child.request_id) == (f"user:{ada.pk}", "acme", "r1")
    assert str(child.parent) == parent.id


def test_a_job_enqueued_by_an_immediate_job_inherits_its_ownership():
    with immediate(), offload.acting_for(User(pk=5)):
        fan_out.enqueue(1)
        rows = find_rows(get_inspectable_backend("default"))

    assert [row.owner for row in rows] == ["user:5", "user:5"]
    assert [row.parent for row in rows] == [None, rows[0].pk]


def test_a_job_enqueued_in_a_rolled_back_task_does_not_exist():
    client = user_client()

    with transaction.atomic():
        start_job(client)
        transaction.set_rollback(True)

    assert not Job.objects.exists()
