"""The checks of settings and servers, as Django runs them."""

import pytest
from django.core import checks as django_checks
from django.core.checks import Tags
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.tasks import task_backends
from django.test import override_settings

from offload.checks.registered import check_databases, check_settings
from tests.checks.databases import BACKEND, GOOD_SQLITE, SQLITE, ids_of, tasks_in


def test_the_settings_of_this_suite_pass_without_a_connection():
    # Without the mark `django_db` a connection would be refused.
    assert ids_of(check_settings()) == []
    assert ids_of(task_backends["default"].check()) == []


def test_the_checks_are_registered_with_django():
    registry = django_checks.registry.registry
    assert check_settings in registry.registered_checks
    assert check_databases.tags == (Tags.database,)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"OPTIONS": {"thread": 1}}, "TASKS['default']: Unknown option 'thread'. Did you mean"),
        ({"OPTIONS": {"threads": 0}}, "TASKS['default']: OPTIONS['threads'] must be"),
        ({"OPTIONS": []}, "TASKS['default']: OPTIONS must be a dict, not []."),
        (
            {"OPTIONS": {"tenant_getter": "shop.nothing"}},
            "TASKS['default']: OPTIONS['tenant_getter'] is 'shop.nothing', which cannot be",
        ),
        ({"OPTIONS": {"lease": float("inf")}}, "TASKS['default']: OPTIONS['lease'] must be"),
    ],
)
def test_a_wrong_option_is_an_error(tasks, message):
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, **tasks}}):
        (problem,) = task_backends["default"].check()
        assert ids_of(check_settings()) == []

    assert problem.id == "offload.E001"
    assert problem.msg.startswith(message)
    assert problem.hint


@pytest.mark.parametrize(
    ("queues", "message"),
    [
        ("mail", "must be a list of names, not "),
        (["mail", 3], "must be a list of names, not "),
        (["default", "a,b"], "the name of a queue cannot have a comma: 'a,b'"),
    ],
)
def test_queues_that_are_not_names_are_refused(queues, message):
    with (
        override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUES": queues}}),
        pytest.raises(ImproperlyConfigured, match=message),
    ):
        _ = task_backends["default"]


def test_an_app_that_is_not_installed_is_an_error(other_database):
    other_database("fresh", ENGINE=SQLITE, NAME="fresh.sqlite3")

    with tasks_in("fresh"), override_settings(INSTALLED_APPS=["django.contrib.contenttypes"]):
        (problem,) = task_backends["default"].check()
        assert ids_of(check_settings()) == []

    assert problem.id == "offload.E002"
    assert "Add 'offload' to INSTALLED_APPS, then run: python manage.py migrate" in problem.msg


def test_an_unknown_database_is_an_error():
    with tasks_in("nowhere"):
        (problem,) = task_backends["default"].check()
        assert ids_of(check_settings()) == []

    assert problem.id == "offload.E002"
    assert "'nowhere', which is not in DATABASES (default)" in problem.msg


@pytest.mark.parametrize(
    "backend",
    ["django.tasks.backends.immediate.ImmediateBackend", "offload.testing.RecordingBackend"],
)
def test_backends_without_rows_have_no_database_to_check(backend, other_database):
    other_database("odd", ENGINE=SQLITE, NAME="odd.sqlite3")

    with override_settings(TASKS={"default": {"BACKEND": backend, "OPTIONS": {}}}):
        assert ids_of(check_settings()) == []
        assert ids_of(check_databases(databases=["default"])) == []


def test_a_misspelt_key_of_tasks_is_an_error():
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUE": ["mail"]}}):
        (problem,) = task_backends["default"].check()

    assert problem.id == "offload.E001"
    assert problem.msg == "TASKS['default']: Unknown key 'QUEUE'. Did you mean 'QUEUES'?"


in_autocommit = pytest.mark.django_db(transaction=True)


@in_autocommit
def test_the_database_of_this_suite_passes():
    assert ids_of(check_databases(databases=["default"])) == []


@pytest.mark.parametrize("databases", [None, [], ["other"]])
def test_a_database_is_only_checked_if_django_asks(databases):
    assert ids_of(check_databases(databases=databases)) == []


def test_missing_migrations_are_reported_with_the_command(other_database):
    other_database("unmigrated", ENGINE=SQLITE, NAME="unmigrated.sqlite3", OPTIONS=GOOD_SQLITE)

    with tasks_in("unmigrated"):
        (problem,) = check_databases(databases=["unmigrated"])

    assert problem.id == "offload.W012"
    assert "0001_initial" in problem.msg
    assert problem.hint == "Run: python manage.py migrate --database unmigrated"


def test_migrate_does_not_warn_about_missing_migrations(other_database, monkeypatch):
    monkeypatch.setattr("sys.argv", ["manage.py", "migrate"])
    other_database("unmigrated", ENGINE=SQLITE, NAME="unmigrated.sqlite3", OPTIONS=GOOD_SQLITE)

    with tasks_in("unmigrated"):
        assert ids_of(check_databases(databases=["unmigrated"])) == []


def test_applied_migrations_pass(other_database):
    other_database("done", ENGINE=SQLITE, NAME="done.sqlite3", OPTIONS=GOOD_SQLITE, migrated=True)

    with tasks_in("done"):
        assert ids_of(check_databases(databases=["done"])) == []


def test_a_database_that_does_not_respond_is_an_error(other_database):
    if connection.vendor == "sqlite":
        other_database("down", NAME="/nonexistent/folder/database.sqlite3")
    else:
        other_database("down", HOST="127.0.0.1", PORT=1)

    with tasks_in("down"):
        (problem,) = check_databases(databases=["down"])

    assert problem.id == "offload.E011"
    assert "DATABASES['down'] does not respond" in problem.msg
