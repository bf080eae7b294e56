"""The tables of the packages themselves, made by their migrations."""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from typing import Any

import pytest
from django.core.management import call_command

from offload.from_celery.results import result_items


@pytest.mark.skipif(
    find_spec("django_celery_results") is None and os.environ.get("CI") != "true",
    reason="django-celery-results is not installed",
)
def test_the_table_of_django_celery_results_is_read(
    settings: Any, other_database: Any, django_db_setup: None
) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_celery_results"]
    other_database("results", ENGINE="django.db.backends.sqlite3", NAME="results.sqlite3")
    call_command("migrate", "django_celery_results", database="results", verbosity=0)
    results = importlib.import_module("django_celery_results.models").TaskResult.objects
    results.using("results").create(task_id="import-7", status="SUCCESS")

    assert [item.name for item in result_items("results")] == ["1 row SUCCESS"]
