"""`Celery`, its settings, and what a project's `celery.py` does."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from offload.celery import Celery, Task, current_app, current_task, shared_task
from offload.celery.settings import Settings
from offload.celery.utils.log import get_task_logger
from offload.models import Job
from offload.testing import run_jobs
from tests.celery import class_tasks, tasks

PROJECT = {
    "proj/__init__.py": "from .celery import app as celery_app\n__all__ = ('celery_app',)\n",
    "proj/celery.py": """
import os

from offload.celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")
app = Celery("proj")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.task(bind=True, ignore_result=True)
def debug_task(self):
    print(f"Request: {self.request!r}")
""",
    "proj/settings.py": """
SECRET_KEY = "only for tests"
INSTALLED_APPS = ["offload", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
TASKS = {"default": {"BACKEND": "offload.backends.database.DatabaseBackend"}}
CELERY_BROKER_URL = "redis://localhost:6379/0"
CELERY_TASK_TIME_LIMIT = 30
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django.tasks": {"handlers": ["console"], "level": "ERROR"}},
}
""",
    "shop/__init__.py": "",
    "shop/tasks.py": """
from offload.celery import shared_task
from offload.celery.utils.log import get_task_logger

logger = get_task_logger(__name__)


@shared_task(name="shop.add")
def add(x, y):
    logger.info("Adding %s and %s", x, y)
    return x + y
""",
}
PROGRAM = """
import logging
import django
django.setup()
assert not logging.getLogger("django.tasks").disabled
from django.core.management import call_command
call_command("migrate", verbosity=0)
from proj.celery import app, debug_task
assert app.conf.task_time_limit == 30, app.conf.task_time_limit
result = app.send_task("shop.add", (1, 2))
from offload.celery.result import AsyncResult
from offload.models import Job
from offload.testing import run_jobs
assert Job.objects.get().timeout == 30
debug_task.delay()
run_jobs()
print(AsyncResult(result.id).get())
import sys
assert "celery" not in sys.modules
"""


def test_the_celery_py_of_a_project_works_as_it_stands(tmp_path: Path):
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("import logging\n", "import logging, proj\n", 1)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )

    assert finished.stderr == ""
    assert finished.stdout.startswith("Request: <Context: ")
    assert finished.stdout.endswith("\n3\n")


def test_importing_the_package_needs_no_settings_and_no_celery():
    program = (
        "import sys, offload.celery, offload.celery.signals, offload.celery.utils.log\n"
        "from django.conf import settings\n"
        "assert not settings.configured\n"
        "names = ('django.tasks', 'offload.models', 'celery', 'kombu')\n"
        "assert not [name for name in sys.modules if name.startswith(names)]\n"
    )

    finished = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, env={}
    )

    assert finished.stderr == ""


def test_settings_are_read_with_the_prefix_and_at_each_use(settings):
    settings.CELERY_TASK_DEFAULT_QUEUE = "mail"

    assert current_app.conf.task_default_queue == "mail"
    assert current_app.conf["task_default_queue"] == "mail"
    settings.CELERY_TASK_DEFAULT_QUEUE = "slow"
    assert current_app.conf.get("task_default_queue") == "slow"
    with pytest.raises(AttributeError, match="no setting 'task_defualt_queue'"):
        _ = current_app.conf.task_defualt_queue


def test_settings_may_come_from_an_object_of_their_own():
    source = types.SimpleNamespace(CELERY_ALWAYS_EAGER=True, timezone="Europe/Berlin")
    conf = Settings({"task_time_limit": 5})
    conf.read_from(source)

    assert (conf.task_always_eager, conf.timezone, conf.task_time_limit) == (
        True,
        "Europe/Berlin",
        5,
    )
    conf.update(task_time_limit=6)
    conf.timezone = "UTC"
    assert (conf.task_time_limit, conf.timezone) == (6, "UTC")


def test_an_app_takes_settings_and_a_class_of_tasks():
    app = Celery("tests", set_as_current=False, task_always_eager=True, task_cls=tasks.Recorder)

    assert app.conf.task_always_eager is True
    assert app.Task is tasks.Recorder
    assert app.AsyncResult("x").id == "x"
    assert repr(app) == "<Celery tests>"


def function_of_a_shared_task() -> None: ...


@pytest.mark.parametrize("way", ["task_cls", "attribute", "none"])
def test_a_shared_task_is_of_the_class_of_the_app(monkeypatch: pytest.MonkeyPatch, way: str):
    monkeypatch.setattr("offload.celery.tasks.current._current", [])
    if way == "task_cls":
        Celery("tests", task_cls="tests.celery.tasks:Recorder")
    elif way == "attribute":
        vars(Celery("tests"))["Task"] = tasks.Recorder

    task = shared_task(function_of_a_shared_task, name="of the class of the app")
    own = shared_task(function_of_a_shared_task, name="of its own class", base=tasks.CallingTask)
    for one in (task, own):
        current_app.tasks.unregister(one)

    assert isinstance(task, tasks.Recorder) == (way != "none")
    assert isinstance(own, tasks.CallingTask)


def test_a_shared_task_makes_no_app(monkeypatch: pytest.MonkeyPatch):
    current: list[Any] = []
    monkeypatch.setattr("offload.celery.tasks.current._current", current)

    task = shared_task(function_of_a_shared_task, name="without an app")

    assert current == []
    current_app.tasks.unregister(task)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "routes",
    [
        {"tests.celery.*": {"queue": "mail", "priority": 4}},
        {"tests.celery.tasks.add": {"queue": "mail", "priority": 4}},
        [("other.*", {"queue": "slow"}), ("tests.*", {"queue": "mail", "priority": 4})],
        lambda name, *args, **kwargs: {"queue": "mail", "priority": 4},
    ],
    ids=["pattern", "name", "pairs", "function"],
)
def test_routes_choose_queue_and_priority(settings, routes):
    if isinstance(routes, list):
        routes = (routes,)
    settings.CELERY_TASK_ROUTES = routes
    job = Job.objects.get(pk=tasks.add.delay(1).id)

    assert (job.queue_name, job.priority) == ("mail", 40)
    assert Job.objects.get(pk=tasks.add.apply_async((1,), queue="slow").id).queue_name == "slow"


@pytest.mark.django_db
def test_the_exact_name_of_a_route_precedes_patterns(settings):
    settings.CELERY_TASK_ROUTES = {
        "tests.celery.tasks.?dd": {"queue": "unknown"},  # no pattern without a *
        "tests.celery.*": {"queue": "slow"},
        "tests.*": {"queue": "default"},
        "tests.celery.tasks.add": {"queue": "mail"},
    }

    assert Job.objects.get(pk=tasks.add.delay(1).id).queue_name == "mail"
    assert Job.objects.get(pk=tasks.fail.delay().id).queue_name == "slow"


@pytest.mark.django_db
def test_what_a_task_says_itself_precedes_its_route(settings):
    settings.CELERY_TASK_ROUTES = {"tests.*": {"queue": "slow", "priority": 1}}
    job = Job.objects.get(pk=tasks.with_options.delay().id)

    assert (job.queue_name, job.priority) == ("mail", 70)


@pytest.mark.django_db
def test_the_default_queue_of_celery_is_ours(settings):
    assert Job.objects.get(pk=tasks.add.delay(1).id).queue_name == "default"
    settings.CELERY_TASK_DEFAULT_QUEUE = "slow"
    assert Job.objects.get(pk=tasks.add.delay(1).id).queue_name == "slow"
    queue = types.SimpleNamespace(name="mail")  # as Kombu's
    assert Job.objects.get(pk=tasks.add.apply_async((1,), queue=queue).id).queue_name == "mail"


@pytest.mark.django_db
def test_a_class_with_a_run_method_is_a_task():
    task = current_app.tasks["tests.celery.class_tasks.Multiply"]
    result = task.delay(2, 3)
    run_jobs()

    assert result.get() == 6


@pytest.mark.django_db
def test_two_tasks_may_have_one_function():
    other = class_tasks.add_again
    result = other.delay(1, 2)
    run_jobs()

    assert (result.get(), result.name) == (3, "add under another name")


def test_current_task_is_the_running_one():
    assert not current_task
    tasks.add.push_request(id="x", retries=2)
    assert (current_task.name, current_task.request.retries) == ("tests.celery.tasks.add", 2)
    tasks.add.pop_request()
    assert tasks.add.request.id is None


def test_packages_are_looked_for_when_tasks_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, text in {
        "lazy_pkg/__init__.py": "",
        "lazy_pkg/jobs.py": "",
        "lazy_pkg/apps.py": "class ShopConfig: ...",
    }.items():
        (tmp_path / "lazy_pkg").mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("offload.celery.tasks.registry.packages", [])
    calls: list[str] = []

    def packages() -> list[str]:
        calls.append("called")
        return ["lazy_pkg.ShopConfig", "lazy_pkg.apps.ShopConfig", "missing_pkg.apps.Config"]

    Celery("lazy", set_as_current=False).autodiscover_tasks(packages, related_name="jobs")
    assert calls == []
    current_app.tasks.discover()

    assert calls == ["called"]
    assert sys.modules.pop("lazy_pkg.jobs")


def test_a_package_that_cannot_be_imported_is_an_error(tmp_path: Path, monkeypatch: Any):
    (tmp_path / "broken_pkg").mkdir()
    (tmp_path / "broken_pkg" / "__init__.py").write_text("import module_that_does_not_exist")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("offload.celery.tasks.registry.packages", [])
    Celery("broken", set_as_current=False).autodiscover_tasks(["broken_pkg"])

    with pytest.raises(ModuleNotFoundError, match="module_that_does_not_exist"):
        current_app.tasks.discover()


@pytest.mark.parametrize("setting", ["CELERY_IMPORTS", "CELERY_INCLUDE"])
def test_modules_that_the_settings_name_are_imported(tmp_path, monkeypatch, settings, setting):
    (tmp_path / "named_by_setting.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    setattr(settings, setting, ("named_by_setting",))

    current_app.tasks.discover()

    assert sys.modules.pop("named_by_setting")


def test_a_second_task_of_a_name_is_a_warning():
    def add() -> None: ...

    add.__module__ = "other"
    with pytest.warns(UserWarning, match=r"two tasks with the name 'tests.celery.tasks.add'"):
        shared_task(add, name="tests.celery.tasks.add")
    current_app.tasks["tests.celery.tasks.add"] = tasks.add


def test_loggers_of_tasks_have_the_parent_of_celery():
    logger = get_task_logger("tests.celery.some_logger")

    assert logger.parent is not None
    assert logger.parent.name == "celery.task"


@pytest.mark.parametrize(
    "configured", [{}, {"celery": {"level": "ERROR"}}], ids=["not", "by LOGGING"]
)
def test_a_worker_prints_what_tasks_log_unless_the_project_does(configured: dict[str, Any]):
    program = (
        "from django.conf import settings\n"
        f"settings.configure(LOGGING={{'version': 1, 'loggers': {configured!r}}})\n"
        "import django; django.setup()\n"
        "from offload.celery.utils.log import get_task_logger\n"
        "from offload.worker.logs import show_job_lines\n"
        "show_job_lines()\n"
        "get_task_logger('shop.tasks').info('Adding')\n"
    )

    finished = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={}
    )

    assert finished.stderr.endswith("INFO Adding\n") is not bool(configured)


def test_a_task_without_run_cannot_run():
    with pytest.raises(NotImplementedError, match="must define the run method"):
        Task()()


def revoke_all(ids: Any) -> None:
    current_app.control.revoke(ids)


@pytest.mark.django_db
def test_control_revokes_tasks():
    results = [tasks.add.delay(n) for n in range(3)]
    revoke_all(results[0].id)
    revoke_all([result.id for result in results[1:]])
    current_app.control.terminate(results[0].id)

    assert [result.state for result in results] == ["REVOKED"] * 3
