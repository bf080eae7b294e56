"""System checks, of the settings and of the server."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.core import checks as django_checks
from django.core.checks import Tags
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.tasks import task_backends
from django.test import override_settings

from offload import checks
from offload.middleware import OffloadMiddleware
from tests.pooler import pooler

BACKEND = "offload.backends.database.DatabaseBackend"
SQLITE = "django.db.backends.sqlite3"
GOOD_SQLITE = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 5,
    "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;",
}


def ids_of(messages: Any) -> list[str]:
    """Return the ids of the messages, each of which must have a hint."""
    messages = list(messages)
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def database(alias: str = "jobs", **settings: Any) -> Any:
    """Return a stand-in for a connection, with the attributes that checks of settings read."""
    settings = {"NAME": "/nonexistent/db.sqlite3", "OPTIONS": {}, **settings}
    return SimpleNamespace(alias=alias, settings_dict=settings)


def tasks_in(using: str, **options: Any) -> override_settings:
    options = {"database": using, **options}
    return override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}})


# --- settings -------------------------------------------------------------------------------


def test_the_settings_of_this_suite_pass_without_a_connection():
    # Without the mark `django_db` a connection would be refused.
    assert ids_of(checks.check_settings()) == []
    assert ids_of(task_backends["default"].check()) == []


def test_the_checks_are_registered_with_django():
    registry = django_checks.registry.registry
    assert checks.check_settings in registry.registered_checks
    assert checks.check_databases.tags == (Tags.database,)


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
        assert ids_of(checks.check_settings()) == []

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
        assert ids_of(checks.check_settings()) == []

    assert problem.id == "offload.E002"
    assert "Add 'offload' to INSTALLED_APPS, then run: python manage.py migrate" in problem.msg


def test_an_unknown_database_is_an_error():
    with tasks_in("nowhere"):
        (problem,) = task_backends["default"].check()
        assert ids_of(checks.check_settings()) == []

    assert problem.id == "offload.E002"
    assert "'nowhere', which is not in DATABASES (default)" in problem.msg


@pytest.mark.parametrize(
    "backend",
    ["django.tasks.backends.immediate.ImmediateBackend", "offload.testing.RecordingBackend"],
)
def test_backends_without_rows_have_no_database_to_check(backend, other_database):
    other_database("odd", ENGINE=SQLITE, NAME="odd.sqlite3")

    with override_settings(TASKS={"default": {"BACKEND": backend, "OPTIONS": {}}}):
        assert ids_of(checks.check_settings()) == []
        assert ids_of(checks.check_databases(databases=["default"])) == []


# --- SQLite ---------------------------------------------------------------------------------


def test_sqlite_is_checked_if_it_stores_jobs(other_database):
    other_database("odd", ENGINE=SQLITE, NAME="odd.sqlite3", OPTIONS={"timeout": 1})

    with tasks_in("odd"):
        ids = ids_of(checks.check_settings())

    assert ids == ["offload.W006", "offload.W007"]


@pytest.mark.parametrize(
    ("version", "ids"), [((3, 34, 1), ["offload.E008"]), ((3, 35, 0), []), ((4, 0, 0), [])]
)
def test_an_old_sqlite_is_an_error(version, ids):
    assert ids_of(checks.check_sqlite_version(version)) == ids


@pytest.mark.parametrize(
    "name", [":memory:", "file::memory:?cache=shared", "file:x?mode=memory", ""]
)
def test_a_database_in_memory_gives_one_warning(name):
    jobs = database(NAME=name)

    assert ids_of(checks.check_sqlite_file(jobs)) == ["offload.W004"]
    assert ids_of(checks.check_sqlite_wal(jobs)) == []
    assert ids_of(checks.check_sqlite_transaction_mode(jobs)) == []


@pytest.mark.parametrize(
    "name", ["/srv/db.sqlite3", "file:memorydb_default?mode=memory&cache=shared"]
)
def test_a_file_and_djangos_test_database_pass(name):
    assert ids_of(checks.check_sqlite_file(database(NAME=name))) == []


@pytest.mark.parametrize(
    ("command", "ids"),
    [
        ("PRAGMA journal_mode=wal;", []),
        ("pragma synchronous=normal; PRAGMA journal_mode = 'WAL'", []),
        ("PRAGMA journal_mode=delete;", ["offload.W005"]),
        ("pragma journal_mode('truncate')", ["offload.W005"]),
        ("", []),
    ],
)
def test_another_journal_than_the_write_ahead_log_gives_a_warning(command, ids):
    jobs = database(OPTIONS={"init_command": command})

    assert ids_of(checks.check_sqlite_wal(jobs)) == ids


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, ["offload.W006"]),
        ({"transaction_mode": None}, ["offload.W006"]),
        ({"transaction_mode": "deferred"}, ["offload.W006"]),
        ({"transaction_mode": "immediate"}, []),
        ({"transaction_mode": "EXCLUSIVE"}, []),
    ],
)
def test_deferred_transactions_give_a_warning(options, ids):
    assert ids_of(checks.check_sqlite_transaction_mode(database(OPTIONS=options))) == ids


@pytest.mark.parametrize(
    ("options", "ids"),
    [({}, []), ({"timeout": 20}, []), ({"timeout": 4.9}, ["offload.W007"])],
)
def test_a_short_lock_timeout_gives_a_warning(options, ids):
    assert ids_of(checks.check_sqlite_timeout(database(OPTIONS=options))) == ids


def test_good_options_for_sqlite_pass(tmp_path):
    jobs = database(NAME=tmp_path / "db.sqlite3", OPTIONS=GOOD_SQLITE)

    for check in (
        checks.check_sqlite_file,
        checks.check_sqlite_wal,
        checks.check_sqlite_transaction_mode,
        checks.check_sqlite_timeout,
    ):
        assert ids_of(check(jobs)) == []


# --- MariaDB and MySQL ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, []),
        ({"isolation_level": "read committed"}, []),
        ({"isolation_level": None}, []),
        ({"isolation_level": "repeatable read"}, ["offload.W009"]),
        ({"isolation_level": "SERIALIZABLE"}, ["offload.W009"]),
    ],
)
def test_a_wrong_isolation_level_is_found_in_the_settings(options, ids):
    assert ids_of(checks.check_isolation_setting(database(OPTIONS=options))) == ids


@pytest.mark.parametrize(
    ("facts", "ids"),
    [
        ({"transaction_isolation": "READ-COMMITTED"}, []),
        ({"tx_isolation": "READ-COMMITTED"}, []),
        ({"tx_isolation": "REPEATABLE-READ"}, ["offload.W009"]),
        ({"transaction_isolation": "SERIALIZABLE"}, ["offload.W009"]),
    ],
)
def test_a_wrong_isolation_level_is_found_at_the_server(facts, ids):
    assert ids_of(checks.check_isolation(facts, "jobs")) == ids


@pytest.mark.parametrize(
    ("facts", "ids"),
    [({}, []), ({"wsrep_on": "OFF"}, []), ({"wsrep_on": "ON"}, ["offload.W010"])],
)
def test_a_galera_cluster_gives_a_warning(facts, ids):
    assert ids_of(checks.check_galera(facts, "jobs")) == ids


# --- the server -------------------------------------------------------------------------------

in_autocommit = pytest.mark.django_db(transaction=True)


@in_autocommit
def test_the_database_of_this_suite_passes():
    assert ids_of(checks.check_databases(databases=["default"])) == []


@pytest.mark.parametrize("databases", [None, [], ["other"]])
def test_a_database_is_only_checked_if_django_asks(databases):
    assert ids_of(checks.check_databases(databases=databases)) == []


def test_missing_migrations_are_reported_with_the_command(other_database):
    other_database("unmigrated", ENGINE=SQLITE, NAME="unmigrated.sqlite3", OPTIONS=GOOD_SQLITE)

    with tasks_in("unmigrated"):
        (problem,) = checks.check_databases(databases=["unmigrated"])

    assert problem.id == "offload.W012"
    assert "0001_initial" in problem.msg
    assert problem.hint == "Run: python manage.py migrate --database unmigrated"


def test_migrate_does_not_warn_about_missing_migrations(other_database, monkeypatch):
    monkeypatch.setattr("sys.argv", ["manage.py", "migrate"])
    other_database("unmigrated", ENGINE=SQLITE, NAME="unmigrated.sqlite3", OPTIONS=GOOD_SQLITE)

    with tasks_in("unmigrated"):
        assert ids_of(checks.check_databases(databases=["unmigrated"])) == []


def test_applied_migrations_pass(other_database):
    other_database("done", ENGINE=SQLITE, NAME="done.sqlite3", OPTIONS=GOOD_SQLITE, migrated=True)

    with tasks_in("done"):
        assert ids_of(checks.check_databases(databases=["done"])) == []


def test_a_database_that_does_not_respond_is_an_error(other_database):
    if connection.vendor == "sqlite":
        other_database("down", NAME="/nonexistent/folder/database.sqlite3")
    else:
        other_database("down", HOST="127.0.0.1", PORT=1)

    with tasks_in("down"):
        (problem,) = checks.check_databases(databases=["down"])

    assert problem.id == "offload.E011"
    assert "DATABASES['down'] does not respond" in problem.msg


@pytest.mark.skipif(connection.vendor != "mysql", reason="for MariaDB and MySQL")
@pytest.mark.parametrize(
    ("level", "ids"), [("read committed", []), ("repeatable read", ["offload.W009"])]
)
def test_an_isolation_level_left_to_the_server_is_queried(
    level, ids, other_database, django_db_setup
):
    options = {
        **connection.settings_dict["OPTIONS"],
        "isolation_level": None,
        "init_command": f"SET SESSION TRANSACTION ISOLATION LEVEL {level}",
    }
    name = connection.settings_dict["NAME"]
    other_database("left", NAME=name, OPTIONS=options)

    with tasks_in("left"):
        assert ids_of(checks.check_settings()) == []
        assert ids_of(checks.check_databases(databases=["left"])) == ids


@pytest.mark.skipif(connection.vendor != "postgresql", reason="for PostgreSQL")
@pytest.mark.parametrize(
    ("pool", "ids"),
    [
        (None, []),
        (True, ["offload.W023"]),
        ({"min_size": 2, "max_size": 8}, ["offload.W023"]),
        ({"min_size": 20}, []),
        ({"max_size": 20}, []),
    ],
)
def test_a_pool_that_is_smaller_than_the_threads_gives_a_warning(pool, ids, other_database):
    other_database("pooled", OPTIONS={"pool": pool})
    threads = {"threads": 8}
    backend = "offload.backends.database.DatabaseBackend"
    with override_settings(TASKS={"default": {"BACKEND": backend, "OPTIONS": threads}}):
        problems = list(checks.check_pools())

    assert ids_of(problems) == ids
    assert all("DATABASES['pooled']" in problem.msg for problem in problems)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="for PostgreSQL")
def test_a_pooler_that_drops_notifications_gives_a_warning(django_db_setup, other_database):
    with pooler() as port:
        options = {"sslmode": "disable", "gssencmode": "disable"}
        name = connection.settings_dict["NAME"]
        other_database("pooled", HOST="127.0.0.1", PORT=port, NAME=name, OPTIONS=options)
        with tasks_in("pooled"):
            ids = ids_of(checks.check_databases(databases=["pooled"]))
        connections["pooled"].close()

    assert ids == ["offload.W013"]


# --- jobs in the browser --------------------------------------------------------------------

OFFLOAD_MIDDLEWARE = "offload.middleware.OffloadMiddleware"


class Own(OffloadMiddleware):
    """A project's subclass."""


@pytest.mark.parametrize(
    ("middleware", "ids"),
    [
        ([], ["offload.W014"]),
        (["django.middleware.common.CommonMiddleware", "gone.Middleware"], ["offload.W014"]),
        (["django.views.csrf.csrf_failure"], ["offload.W014"]),
        ([OFFLOAD_MIDDLEWARE], []),
        (["django.middleware.common.CommonMiddleware", OFFLOAD_MIDDLEWARE], []),
        ([f"{__name__}.Own"], []),
    ],
)
def test_mounted_urls_need_the_middleware(middleware, ids, settings):
    settings.MIDDLEWARE = middleware

    assert ids_of(checks.check_middleware()) == ids


@pytest.mark.parametrize("urls", ["tests.live.empty_urls", "gone", "tests.worker.unimportable", ""])
def test_without_mounted_urls_the_middleware_is_not_needed(urls, settings):
    settings.MIDDLEWARE = []
    settings.ROOT_URLCONF = urls

    assert ids_of(checks.check_middleware()) == []


def test_a_misspelt_key_of_tasks_is_an_error():
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUE": ["mail"]}}):
        (problem,) = task_backends["default"].check()

    assert problem.id == "offload.E001"
    assert problem.msg == "TASKS['default']: Unknown key 'QUEUE'. Did you mean 'QUEUES'?"
