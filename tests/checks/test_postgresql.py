"""Checks of PostgreSQL."""

import pytest
from django.db import connection, connections

from offload.checks.registered import check_databases
from tests.checks.databases import ids_of, tasks_in
from tests.pooler import pooler


@pytest.mark.skipif(connection.vendor != "postgresql", reason="for PostgreSQL")
def test_a_pooler_that_drops_notifications_gives_a_warning(django_db_setup, other_database):
    with pooler() as port:
        options = {"sslmode": "disable", "gssencmode": "disable"}
        name = connection.settings_dict["NAME"]
        other_database("pooled", HOST="127.0.0.1", PORT=port, NAME=name, OPTIONS=options)
        with tasks_in("pooled"):
            ids = ids_of(check_databases(databases=["pooled"]))
        connections["pooled"].close()

    assert ids == ["offload.W013"]
