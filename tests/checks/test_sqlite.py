"""Checks of SQLite."""

from pathlib import Path

import pytest

from offload.checks import sqlite
from offload.checks.registered import check_settings
from tests.checks.databases import GOOD_SQLITE, SQLITE, database, ids_of, tasks_in


def test_sqlite_is_checked_if_it_stores_jobs(other_database):
    other_database("odd", ENGINE=SQLITE, NAME="odd.sqlite3", OPTIONS={"timeout": 1})

    with tasks_in("odd"):
        ids = ids_of(check_settings())

    assert ids == ["offload.W006", "offload.W007"]


@pytest.mark.parametrize(
    ("version", "ids"), [((3, 34, 1), ["offload.E008"]), ((3, 35, 0), []), ((4, 0, 0), [])]
)
def test_an_old_sqlite_is_an_error(version, ids):
    assert ids_of(sqlite.check_version(version)) == ids


@pytest.mark.parametrize(
    "name", [":memory:", "file::memory:?cache=shared", "file:x?mode=memory", ""]
)
def test_a_database_in_memory_gives_one_warning(name):
    jobs = database(NAME=name)

    assert ids_of(sqlite.check_file(jobs)) == ["offload.W004"]
    assert ids_of(sqlite.check_wal(jobs)) == []
    assert ids_of(sqlite.check_transaction_mode(jobs)) == []


@pytest.mark.parametrize(
    "name", ["/srv/db.sqlite3", "file:memorydb_default?mode=memory&cache=shared"]
)
def test_a_file_and_djangos_test_database_pass(name):
    assert ids_of(sqlite.check_file(database(NAME=name))) == []


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

    assert ids_of(sqlite.check_wal(jobs)) == ids


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
    assert ids_of(sqlite.check_transaction_mode(database(OPTIONS=options))) == ids


@pytest.mark.parametrize(
    ("options", "ids"),
    [({}, []), ({"timeout": 20}, []), ({"timeout": 4.9}, ["offload.W007"])],
)
def test_a_short_lock_timeout_gives_a_warning(options, ids):
    assert ids_of(sqlite.check_timeout(database(OPTIONS=options))) == ids


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("db.sqlite3", ["offload.W024"]),
        (Path("data/db.sqlite3"), ["offload.W024"]),
        (Path("/srv/db.sqlite3"), []),
        ("file:/srv/db.sqlite3?mode=rw", []),
    ],
)
def test_a_file_in_the_current_folder_gives_a_warning(name, ids):
    assert ids_of(sqlite.check_file(database(NAME=name))) == ids


def test_good_options_for_sqlite_pass(tmp_path):
    jobs = database(NAME=tmp_path / "db.sqlite3", OPTIONS=GOOD_SQLITE)

    for check in (
        sqlite.check_file,
        sqlite.check_wal,
        sqlite.check_transaction_mode,
        sqlite.check_timeout,
    ):
        assert ids_of(check(jobs)) == []
