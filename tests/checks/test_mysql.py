"""Checks of MariaDB and MySQL."""

import pytest
from django.db import connection

from offload.checks import mysql
from offload.checks.registered import check_databases, check_settings
from tests.checks.databases import database, ids_of, tasks_in


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
    assert ids_of(mysql.check_isolation_setting(database(OPTIONS=options))) == ids


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
    assert ids_of(mysql.check_isolation(facts, "jobs")) == ids


@pytest.mark.parametrize(
    ("facts", "ids"),
    [({}, []), ({"wsrep_on": "OFF"}, []), ({"wsrep_on": "ON"}, ["offload.W010"])],
)
def test_a_galera_cluster_gives_a_warning(facts, ids):
    assert ids_of(mysql.check_galera(facts, "jobs")) == ids


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
        assert ids_of(check_settings()) == []
        assert ids_of(check_databases(databases=["left"])) == ids
