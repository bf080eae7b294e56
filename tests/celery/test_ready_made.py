"""The tasks that `offload.celery` has of its own."""

from __future__ import annotations

import pytest

from offload.celery import current_app
from offload.celery.checks import check_tasks
from offload.task_lookup import find_task


@pytest.mark.parametrize("name", ["map_items", "map_arguments", "keep_group"])
def test_the_paths_that_rows_have_stay(name: str):
    path = f"offload.celery.ready_made.{name}"

    assert find_task(path).module_path == path


def test_they_are_no_tasks_of_the_project():
    names = {task.name for task in current_app.tasks.of_project()}

    assert {"celery.map", "celery.starmap", "celery.keep_group"}.isdisjoint(names)


def test_a_project_that_does_not_use_them_needs_no_queue_for_them(settings):
    backend = {"BACKEND": "offload.backends.database.DatabaseBackend", "QUEUES": ["mail"]}
    settings.TASKS = {"default": backend}

    assert not [message for message in check_tasks() if "celery.map" in message.msg]
