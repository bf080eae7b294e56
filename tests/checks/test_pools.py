"""The check of connection pools."""

import pytest
from django.db import connection
from django.test import override_settings

from offload.checks.pools import check_pools
from tests.checks.databases import ids_of


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
        problems = list(check_pools())

    assert ids_of(problems) == ids
    assert all("DATABASES['pooled']" in problem.msg for problem in problems)
