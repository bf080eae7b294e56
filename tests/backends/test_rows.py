"""Rows whose code or settings have changed, and rows that somebody tampered with."""

import pytest
from django.db import DatabaseError, transaction
from django.tasks import default_task_backend
from django.test import override_settings
from django.utils import timezone

from offload import JobState
from offload.exceptions import TaskNotFound
from offload.lifecycle import failed, succeeded
from offload.models import Attempt, Job
from tests.jobs import FAILURE, finish
from tests.tasks import add

pytestmark = pytest.mark.django_db

BACKEND = "offload.backends.database.DatabaseBackend"

CANARY = """
import pathlib
pathlib.Path(__file__).with_suffix(".sang").touch()
class Boom(Exception): pass
"""


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module that leaves a file when somebody imports it: the file's path."""
    (tmp_path / "offload_canary.py").write_text(CANARY)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "offload_canary.sang"


@pytest.mark.parametrize(
    "path", ["tests.tasks.gone", "tests.gone.add", "gone.tasks.add", "tests.tasks.add.func"]
)
def test_a_row_whose_task_is_gone_is_still_read(path):
    result = add.using(priority=3).enqueue(1, b=2)
    finish(failed(FAILURE))
    Job.objects.update(task_path=path)

    found = default_task_backend.get_result(result.id)

    assert (found.args, found.kwargs, found.state) == ([1], {"b": 2}, JobState.FAILED)
    assert (found.task.module_path, found.task.priority) == (path, 3)
    assert found.task.name == path.rpartition(".")[2]
    assert len(found.errors) == 1
    with pytest.raises(TaskNotFound, match="Was it renamed or removed"):
        found.task.call(1)


def test_a_row_on_a_queue_that_is_gone_is_still_read():
    result = add.using(queue_name="slow").enqueue(1)

    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUES": ["default"]}}):
        found = default_task_backend.get_result(result.id)
        found.refresh()
        found.cancel()

    assert (found.task.queue_name, found.state) == ("slow", JobState.CANCELLED)


def test_a_row_of_a_backend_that_is_gone_is_still_read():
    result = add.enqueue(1)
    Job.objects.update(backend="gone")

    found = default_task_backend.get_result(result.id)

    assert (found.backend, found.args) == ("gone", [1])


PATHS = {
    "function": "os.system",
    "class": "subprocess.Popen",
    "two dots": "..",
    "many dots": "tests..tasks.add",
    "empty": "",
    "no module": "add",
    "look-alike": "tests.t\u0430sks.add",
    "full width": "tests.tasks.\uff41dd",
    "file": "/etc/passwd",
    "statement": "__import__('os').system('true')",
    "spaces": "tests.tasks. add",
    "keyword": "import.class",
    "attribute of a task": "tests.tasks.add.__class__",
    "not a task": "tests.tasks.Task",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_tampered_path_names_no_task_and_runs_nothing(path):
    result = add.enqueue("true")
    Job.objects.update(task_path=path)

    found = default_task_backend.get_result(result.id)

    assert found.task.module_path in {path, f".{path}"}
    with pytest.raises(TaskNotFound):
        found.task.call("true")


@pytest.mark.parametrize("raises", ["raise ValueError('broken')", "raise SystemExit(1)", "1 +"])
def test_a_module_that_cannot_be_imported_leaves_the_result_readable(raises, tmp_path, monkeypatch):
    (tmp_path / "offload_broken.py").write_text(raises)
    monkeypatch.syspath_prepend(tmp_path)
    result = add.enqueue(1)
    Job.objects.update(task_path="offload_broken.add")

    assert default_task_backend.get_result(result.id).args == [1]


@pytest.mark.parametrize(
    "path", ["offload_canary.Boom", "offload_canary.Boom.x", "os.system", "tests.tasks.add", ""]
)
def test_looking_at_an_error_imports_nothing(path, canary):
    result = add.enqueue(1)
    finish(failed(FAILURE))
    Attempt.objects.update(exception_class_path=path)

    (error,) = default_task_backend.get_result(result.id).errors

    assert error.exception_class_path == path
    with pytest.raises(ValueError, match="not an exception class of an imported module"):
        _ = error.exception_class
    assert not canary.exists()


@pytest.mark.parametrize("arguments", ["", "null", "[1]", "{", "[[],{}", "[1,2]", '{"a":1,"b":2}'])
def test_a_row_with_damaged_arguments_is_still_read(arguments):
    result = add.enqueue(1)
    Job.objects.update(arguments=arguments)

    found = default_task_backend.get_result(result.id)

    assert (found.id, found.args, found.kwargs) == (result.id, [], {})


@pytest.mark.parametrize("return_value", ["", "{", "[" * 100_000])
def test_a_row_with_a_damaged_return_value_is_still_read(return_value):
    result = add.enqueue(1)
    finish(succeeded("1"))
    Job.objects.update(return_value=return_value)

    assert default_task_backend.get_result(result.id).return_value is None


def test_a_state_that_does_not_exist_cannot_be_stored():
    add.enqueue(1)

    with pytest.raises(DatabaseError), transaction.atomic():
        Job.objects.update(state=99, finished_at=timezone.now())


def test_the_worker_of_a_successful_job_is_named_once():
    result = add.enqueue(1)
    worker = finish(succeeded("1"))

    assert default_task_backend.get_result(result.id).worker_ids == [worker]
