"""Lookup of a task by the path in a row."""

import sys
from types import ModuleType

import pytest

from offload import OffloadTask, task
from offload.exceptions import TaskNotFound
from offload.task_lookup import find_task, find_task_or_stub, with_options
from tests import tasks


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests.tasks.add", tasks.add),
        ("tests.tasks.plain", tasks.plain),
        ("tests.tasks.send", tasks.send_later),
        ("tests.tasks.send_later", tasks.send_later),
        ("tests.tasks.weigh", tasks.plain_object),
    ],
)
def test_a_task_is_found_by_the_path_of_its_function_or_by_its_own(path, expected):
    assert find_task(path) is expected


@pytest.fixture
def module(monkeypatch):
    """An empty module of the project."""
    module = ModuleType("offload_project_tasks")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield module
    find_task.cache_clear()


def test_an_old_name_kept_for_waiting_jobs_is_found(module):
    module.old_name = tasks.add

    assert find_task("offload_project_tasks.old_name") is tasks.add


def test_an_imported_task_is_not_confused_with_another_function(module):
    module.something = tasks.add

    with pytest.raises(TaskNotFound):
        find_task("offload_project_tasks.add")


def test_a_task_that_was_not_found_is_searched_again(module):
    with pytest.raises(TaskNotFound):
        find_task("offload_project_tasks.late")
    module.late = tasks.add

    assert find_task("offload_project_tasks.late") is tasks.add


def test_an_error_inside_the_module_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "offload_needy.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        find_task("offload_needy.add")


def test_options_of_a_row_are_not_validated():
    changed = with_options(tasks.fail_thrice, queue_name="gone", backend="gone", priority=5000)

    assert (changed.queue_name, changed.backend, changed.priority) == ("gone", "gone", 5000)
    assert (changed.func, changed.max_attempts) == (tasks.fail_thrice.func, 3)
    assert tasks.fail_thrice.queue_name == "default"


def test_a_task_whose_options_are_those_of_the_row_is_not_copied():
    assert find_task_or_stub(
        "tests.tasks.add", backend="default", queue_name="default", priority=0
    ) is (tasks.add)


def test_a_removed_task_is_replaced_by_a_stub():
    stand_in = find_task_or_stub(
        "tests.tasks.gone", backend="default", queue_name="slow", priority=1
    )

    assert type(stand_in) is OffloadTask
    assert (stand_in.module_path, stand_in.name) == ("tests.tasks.gone", "gone")
    assert (stand_in.queue_name, stand_in.priority) == ("slow", 1)


def test_a_subclass_of_offload_task_keeps_its_fields():
    declared = task(title="Report", max_attempts=2)(tasks.send)

    assert with_options(declared, priority=9).title == "Report"
