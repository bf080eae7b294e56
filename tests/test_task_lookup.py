"""Lookup of a task by the path in a row."""

import sys
from importlib import invalidate_caches
from types import ModuleType

import pytest
from django.test import override_settings

from offload import OffloadTask, task, task_modules
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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder on Python's path, with the package of the project's settings in it."""
    package = tmp_path / "offload_project"
    package.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("offload_project")]:
        del sys.modules[name]
    find_task.cache_clear()


PROJECT = {"ROOT_URLCONF": "offload_project.urls"}


def test_an_error_inside_the_module_is_not_hidden(folder):
    (folder / "offload_project" / "needy.py").write_text("import a_package_that_is_not_there")

    with (
        override_settings(**PROJECT),
        pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"),
    ):
        find_task("offload_project.needy.add")


@pytest.mark.parametrize(
    "path",
    [
        "offload_outside.x",
        "offload_outside.y.x",
        "offload_projects.x",
        "offload_project.__main__.x",
        "offload_project.__init__.x",
        "antigravity.geohash",
        "this.c",
    ],
)
def test_a_module_that_is_not_of_the_project_is_not_imported(folder, path):
    for name in ("offload_outside", "offload_projects", "offload_project/__main__"):
        (folder / f"{name}.py").write_text("raise SystemExit('imported')")
    (folder / "offload_project" / "__init__.py").write_text("")

    with override_settings(**PROJECT), pytest.raises(TaskNotFound, match=r"AppConfig.ready\(\)"):
        find_task(path)
    assert path.rpartition(".")[0] not in sys.modules


@pytest.mark.parametrize(
    "settings",
    [
        PROJECT,
        {"SETTINGS_MODULE": "offload_project.settings.local", "ROOT_URLCONF": "urls"},
        {"INSTALLED_APPS": ["offload_project.shop"], "ROOT_URLCONF": "urls"},
    ],
    ids=["urls", "settings", "app"],
)
def test_a_module_of_the_project_or_an_app_is_imported(folder, settings):
    app = folder / "offload_project" / "shop"
    app.mkdir()
    (app / "__init__.py").write_text("")
    (app / "late_tasks.py").write_text("from tests.tasks import add")

    with override_settings(**settings):
        assert find_task("offload_project.shop.late_tasks.add") is tasks.add


@pytest.mark.parametrize(
    ("content", "error"),
    [("1 / 0", ZeroDivisionError), ("raise SystemExit(3)", SystemExit), (None, TaskNotFound)],
)
def test_a_failed_import_is_not_repeated_for_some_seconds(folder, content, error, monkeypatch):
    log = folder / "log"
    module = folder / "offload_project" / "broken.py"
    if content:
        module.write_text(f"with open({str(log)!r}, 'a') as log: log.write('x')\n{content}")
    with override_settings(**PROJECT):
        depths = []
        for _ in range(3):
            with pytest.raises(error) as raised:
                find_task("offload_project.broken.add")
            depths.append(len(raised.traceback))
        assert not content or log.read_text() == "x"
        assert depths[1] == depths[2], "the traceback grows"
        module.write_text("from tests.tasks import send as add, send_later")
        invalidate_caches()
        monkeypatch.setattr(task_modules, "FAILURE_SECONDS", -1)
        task_modules._failures.clear()

        assert find_task("offload_project.broken.send_later") is tasks.send_later


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
