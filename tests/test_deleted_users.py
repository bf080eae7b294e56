"""A user does not get the jobs of a deleted user with the same primary key."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import OperationalError, connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

import offload
from offload.deleted_users import watch_deletions
from offload.models import Job
from tests.live.clients import user_client
from tests.live.tasks import private

db = pytest.mark.django_db


def start_job(user: Any) -> Any:
    with offload.acting_for(user):
        return private.enqueue()


def status_code(client: Any, result: Any) -> int:
    return int(client.get(reverse("offload:status", args=[result.id])).status_code)


@db
def test_a_new_user_with_the_same_primary_key_does_not_see_the_jobs() -> None:
    ada = user_client("ada")
    result = start_job(ada.user)
    assert status_code(ada, result) == 200
    pk = ada.user.pk
    ada.user.delete()
    User.objects.create(pk=pk, username="eve")

    assert status_code(user_client("eve"), result) == 404
    assert status_code(user_client("staff", is_staff=True), result) == 404
    assert status_code(user_client("auditor", "view_job", is_staff=True), result) == 200


@db
def test_users_deleted_together_cost_one_scan_of_the_jobs() -> None:
    users = [User.objects.create(username=f"user{number}") for number in range(20)]
    kept = User.objects.create(username="kept")
    results = [start_job(user) for user in [*users, kept]]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        User.objects.exclude(pk=kept.pk).delete()

    updates = [query for query in queries if query["sql"].startswith("UPDATE")]
    assert len(updates) == 1
    assert {job.owner for job in Job.objects.exclude(pk=results[-1].id)} == {"deleted"}
    assert Job.objects.get(pk=results[-1].id).owner == f"user:{kept.pk}"


@db
def test_users_deleted_by_a_proxy_model_are_noticed() -> None:
    class ProxyUser(User):
        class Meta:
            proxy = True
            app_label = "auth"

    try:
        watch_deletions()  # the model was declared after the start
        ada = User.objects.create(username="ada")
        result = start_job(ada)
        ProxyUser.objects.filter(pk=ada.pk).delete()
    finally:
        del apps.all_models["auth"]["proxyuser"]
        apps.clear_cache()

    assert Job.objects.get(pk=result.id).owner == "deleted"


@db
def test_a_deletion_that_fails_leaves_the_jobs_to_their_owner() -> None:
    ada, bob = (User.objects.create(username=name) for name in ("ada", "bob"))
    result = start_job(ada)

    def fail(**_: Any) -> None:
        raise RuntimeError("protected")

    models.signals.pre_delete.connect(fail, sender=User)
    try:
        with pytest.raises(RuntimeError), transaction.atomic():
            ada.delete()
    finally:
        models.signals.pre_delete.disconnect(fail, sender=User)
    bob.delete()

    assert Job.objects.get(pk=result.id).owner == f"user:{ada.pk}"


@db
def test_users_are_deleted_although_their_jobs_cannot_be_changed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ada = User.objects.create(username="ada")
    start_job(ada)

    def refuse(execute: Any, sql: str, *arguments: Any) -> Any:
        if sql.startswith("UPDATE") and "offload_job" in sql:
            raise OperationalError("locked")
        return execute(sql, *arguments)

    with connection.execute_wrapper(refuse):
        ada.delete()

    assert not User.objects.filter(username="ada").exists()
    assert "Jobs keep deleted users as their owners." in caplog.text


def test_jobs_in_another_database_are_disowned_after_the_commit(
    settings: Any, other_database: Any, django_db_setup: None
) -> None:
    other_database("jobs", ENGINE="django.db.backends.sqlite3", NAME="jobs.sqlite3", migrated=True)
    backend = "offload.backends.database.DatabaseBackend"
    settings.TASKS = {"default": {"BACKEND": backend, "OPTIONS": {"database": "jobs"}}}
    ada = User.objects.create(username="ada")
    start_job(ada)
    with transaction.atomic():
        ada.delete()
        assert Job.objects.using("jobs").get().owner.startswith("user:")

    assert Job.objects.using("jobs").get().owner == "deleted"
