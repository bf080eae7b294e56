"""Rows that outlived their code or settings, and rows that were tampered with."""

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
pathlib.Path(__file__).with_suffix(".imported").touch()
class Boom(Exception): pass
"""


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """The path of a file that exists once the module `offload_canary` has been imported."""
    (tmp_path / "offload_canary.py").write_text(CANARY)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "offload_canary.imported"


@pytest.mark.parametrize(
    "path", ["tests.tasks.gone", "tests.gone.add", "gone.tasks.add", "tests.tasks.add.func"]
)
def test_a_row_whose_task_was_removed_can_be_read(path):
    result = add.using(priority=3).enqueue(1, b=2)
    finish(failed(FAILURE))
    Job.objects.update(task_path=path)

    loaded = default_task_backend.get_result(result.id)

    assert (loaded.args, loaded.kwargs, loaded.state) == ([1], {"b": 2}, JobState.FAILED)
    assert (loaded.task.module_path, loaded.task.priority) == (path, 3)
    assert loaded.task.name == path.rpartition(".")[2]
    assert len(loaded.errors) == 1
    with pytest.raises(TaskNotFound, match="Was it renamed or removed"):
        loaded.task.call(1)


def test_a_row_of_a_removed_queue_can_be_read():
    result = add.using(queue_name="slow").enqueue(1)

    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUES": ["default"]}}):
        loaded = default_task_backend.get_result(result.id)
        loaded.refresh()
        loaded.cancel()

    assert (loaded.task.queue_name, loaded.state) == ("slow", JobState.CANCELLED)


def test_a_row_of_a_removed_backend_can_be_read():
    result = add.enqueue(1)
    Job.objects.update(backend="gone")

    loaded = default_task_backend.get_result(result.id)

    assert (loaded.backend, loaded.args) == ("gone", [1])


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

    loaded = default_task_backend.get_result(result.id)

    assert loaded.task.module_path in {path, f".{path}"}
    with pytest.raises(TaskNotFound):
        loaded.task.call("true")


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
def test_reading_an_error_imports_nothing(path, canary):
    result = add.enqueue(1)
    finish(failed(FAILURE))
    Attempt.objects.update(exception_class_path=path)

    (error,) = default_task_backend.get_result(result.id).errors

    assert error.exception_class_path == path
    with pytest.raises(ValueError, match="not an exception class of an imported module"):
        _ = error.exception_class
    assert not canary.exists()


@pytest.mark.parametrize("arguments", ["", "null", "[1]", "{", "[[],{}", "[1,2]", '{"a":1,"b":2}'])
def test_a_row_with_damaged_arguments_can_be_read(arguments):
    result = add.enqueue(1)
    Job.objects.update(arguments=arguments)

    loaded = default_task_backend.get_result(result.id)

    assert (loaded.id, loaded.args, loaded.kwargs) == (result.id, [], {})


@pytest.mark.parametrize("return_value", ["", "{", "[" * 100_000])
def test_a_row_with_a_damaged_return_value_can_be_read(return_value):
    result = add.enqueue(1)
    finish(succeeded("1"))
    Job.objects.update(return_value=return_value)

    assert default_task_backend.get_result(result.id).return_value is None


def test_a_state_that_does_not_exist_cannot_be_stored():
    add.enqueue(1)

    with pytest.raises(DatabaseError), transaction.atomic():
        Job.objects.update(state=99, finished_at=timezone.now())


def test_the_worker_of_a_successful_job_is_listed_once():
    result = add.enqueue(1)
    worker = finish(succeeded("1"))

    assert default_task_backend.get_result(result.id).worker_ids == [worker]
