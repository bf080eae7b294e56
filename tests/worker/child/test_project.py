"""What child processes see of a project, and how they start and end: with real projects."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from django.db import connection
from django.test import override_settings

from offload import Concurrency
from offload.worker.child.project import ProjectError, describe_project, load_tasks
from tests.checks.test_limits import limit
from tests.worker.child.projects import SETTINGS, project, run

pytestmark = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="these projects have a database of their own"
)

HERE = Path(__file__).parent
SETTINGS_OF_SHOP = f"{SETTINGS}INSTALLED_APPS += ['shop']\n"
TASKS = ["say", "fail", "end_program", "end_async_program", "end_forked_process", "use_pool"]
TASKS_OF_CHILDREN = ["end_process_of_fork_server", "look_at_context", "look_at_handler"]


class Drained(NamedTuple):
    """A project whose jobs a worker has run.

    Attributes:
        output: of the worker.
        events: what the project's files recorded.
        buffered: what a logging handler held until the exit.
        processes: the number of child processes.
    """

    output: str
    events: list[str]
    buffered: str
    processes: int


@pytest.fixture(scope="module", params=[0, 1], ids=["in-process", "child-process"])
def drained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Drained:
    folder = tmp_path_factory.mktemp("single-file")
    (folder / "lib" / "shop").mkdir(parents=True)
    shutil.copy(HERE / "single_file.py", folder / "app.py")
    shutil.copy(HERE / "single_file_tasks.py", folder / "lib" / "shop" / "tasks.py")
    tasks = [*TASKS, *TASKS_OF_CHILDREN] if request.param else TASKS
    enqueued = run(folder, "enqueue", *tasks)
    assert enqueued.returncode == 0, enqueued.stderr

    processes = str(request.param)
    arguments = ("--drain", "--processes", processes, "--verbosity", "0")
    worker = run(folder, "offload_worker", *arguments)

    output = worker.stdout + worker.stderr
    assert worker.returncode == 0, output
    events = (folder / "events").read_text().splitlines()
    return Drained(output, events, (folder / "buffered").read_text(), request.param)


def test_the_main_script_is_not_run_again_by_child_processes(drained):
    assert drained.events.count("main offload_worker") == 1


def test_an_import_prints_once(drained):
    assert drained.output.count("imported") == 1


def test_a_failed_job_is_logged_whatever_logging_does_to_existing_loggers(drained):
    assert drained.output.count("ValueError: because") == 1


@pytest.mark.parametrize(
    "event", ["program -15", "async program -15", "ForkProcess -15", "pool [1, 2]"]
)
def test_what_a_task_starts_can_be_terminated(drained, event):
    assert event in drained.events


def test_a_fork_server_that_a_task_starts_is_not_the_workers(drained):
    if drained.processes:
        assert "ForkServerProcess -15" in drained.events


def test_exit_handlers_run_once_at_the_end(drained):
    assert drained.events.count("sent hello") == 1
    assert drained.buffered.count("hello") == 1


def test_jobs_do_not_see_context_variables_that_imports_set(drained):
    """Django keeps its caches in one, for example."""
    if drained.processes:
        assert "context variable unset" in drained.events


def test_child_processes_survive_ctrl_c_although_an_import_set_a_handler(drained):
    if drained.processes:
        assert "default handler: False" in drained.events


# --- projects that children cannot load ---------------------------------------------------------


def test_the_worker_says_why_its_child_processes_cannot_start(tmp_path):
    """As with `pymysql.install_as_MySQLdb()` in `manage.py`."""
    main = "import types; sys.modules['stand_in'] = types.ModuleType('stand_in')"
    project(tmp_path, main, shop_settings=f"import stand_in\n{SETTINGS}")
    named = {"DJANGO_SETTINGS_MODULE": "shop_settings"}

    worker = run(tmp_path, "offload_worker", "--processes", "1", "--drain", **named)

    assert worker.returncode == 1
    message = worker.stderr.strip().splitlines()[-1]
    assert "(ModuleNotFoundError: No module named 'stand_in')" in message
    assert "do not run app.py" in message
    assert "--processes 0" in message


def test_computed_settings_and_the_option_pythonpath_reach_the_child_processes(tmp_path):
    """The settings are computed by an import hook, as with django-configurations."""
    main = """
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
class Loader:
    def __init__(self, spec):
        self.spec = spec
    def load_module(self, name):
        sys.modules[name] = module = module_from_spec(self.spec)
        self.spec.loader.exec_module(module)
        vars(module).update(vars(module.Production))
        return module
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "shop_settings":
            return ModuleSpec(name, Loader(PathFinder.find_spec(name, path)))
sys.meta_path.insert(0, Finder())
"""
    body = "".join(f"    {line}\n" for line in SETTINGS_OF_SHOP.strip().splitlines())
    tasks = """
import offload
@offload.task
def look():
    with open("seen", "a") as seen:
        print("yes", file=seen)
"""
    (tmp_path / "lib" / "shop").mkdir(parents=True)
    files = {"shop_settings": f"class Production:\n{body}", "lib/shop/tasks": tasks}
    project(tmp_path, main, **files)

    drain(tmp_path, "--pythonpath", "lib")


def drain_shop(folder: Path, tasks: str, *arguments: str) -> str:
    """Run three jobs `look` of a project with an app; return the worker's output."""
    (folder / "shop").mkdir()
    project(folder, "", **{"shop_settings": SETTINGS_OF_SHOP, "shop/tasks": tasks})
    return drain(folder, arguments=arguments)


def drain(folder: Path, *options: str, arguments: Sequence[str] = ()) -> str:
    """Run three jobs `look`, whose tasks write "yes"; return the worker's output.

    Args:
        folder: of the project.
        options: for all commands.
        arguments: for the worker.
    """
    named = {"DJANGO_SETTINGS_MODULE": "shop_settings"}
    enqueue = "from shop.tasks import look; [look.enqueue() for _ in range(3)]"
    assert run(folder, "shell", "-c", enqueue, *options, **named).returncode == 0
    arguments = ["--drain", "--processes", "1", *arguments]
    worker = run(folder, "offload_worker", *arguments, *options, **named)
    assert worker.returncode == 0, worker.stderr
    assert (folder / "seen").read_text().splitlines() == ["yes"] * 3, worker.stderr
    return worker.stderr


def test_what_an_import_made_outlives_the_children_but_not_the_fork_server(tmp_path):
    tasks = """
import atexit, multiprocessing, os, signal, sys, tempfile
from pathlib import Path
import offload
folder = tempfile.TemporaryDirectory(dir=".")
process = multiprocessing.get_context("fork").Process(target=signal.pause, daemon=True)
if sys.orig_argv[-2] == "-c" and "offload_worker" in sys.argv:
    process.start()
to_send = []
@atexit.register
def send():
    with open("seen", "a") as seen:
        for line in to_send:
            print(line, file=seen)
@offload.task
def look():
    exists = Path(folder.name).is_dir() and Path(f"/proc/{process.pid}/exe").exists()
    to_send.append("yes" if exists else "no")
"""

    output = drain_shop(tmp_path, tasks, "--max-jobs-per-child", "1")

    assert "Error" not in output
    assert not list(tmp_path.glob("tmp*"))


def test_a_setting_that_cannot_be_passed_on_is_named():
    with (
        override_settings(SHOW=lambda: True),
        pytest.raises(ProjectError, match="The setting SHOW cannot be passed to child"),
    ):
        describe_project()


def test_a_fork_server_that_dies_is_found_although_a_program_that_it_started_goes_on(tmp_path):
    tasks = """
import os, signal, subprocess
program = subprocess.Popen(["sleep", "30"], close_fds=False, stdout=-3, stderr=-3)
open("pid", "w").write(str(program.pid))
os.kill(os.getpid(), signal.SIGKILL)
"""
    (tmp_path / "shop").mkdir()
    project(tmp_path, "", **{"shop_settings": SETTINGS_OF_SHOP, "shop/tasks": tasks})

    worker = run(tmp_path, "offload_worker", DJANGO_SETTINGS_MODULE="shop_settings")

    assert "could not load the project (exit code -9)" in worker.stderr
    program = psutil.Process(int((tmp_path / "pid").read_text()))
    assert program.status() == psutil.STATUS_SLEEPING
    program.kill()


# --- system checks ----------------------------------------------------------------------------

DISAGREEING_TASKS = """
import offload
@offload.task(concurrency=offload.Concurrency(3, name="crm"))
def push(): ...
@offload.task(concurrency=offload.Concurrency(5, name="crm"))
def pull(): ...
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_no_worker_starts_if_a_check_of_the_tasks_finds_an_error(tmp_path, processes):
    (tmp_path / "shop").mkdir()
    files = {"shop_settings": SETTINGS_OF_SHOP, "shop/tasks": DISAGREEING_TASKS}
    project(tmp_path, "", **files)

    arguments = ("offload_worker", "--drain", "--processes", processes)
    worker = run(tmp_path, *arguments, DJANGO_SETTINGS_MODULE="shop_settings")

    assert worker.returncode == 1
    assert "CommandError: System checks of the tasks found errors" in worker.stderr
    assert "(offload.E041) The tasks shop.tasks.push and shop.tasks.pull share" in worker.stderr
    assert "HINT: Give both tasks" in worker.stderr
    assert "Traceback" not in worker.stderr


def test_a_silenced_error_stops_no_worker_and_warnings_are_logged(monkeypatch, settings, caplog):
    settings.TASKS = {"default": {"BACKEND": "tests.checks.test_limits.ForeignBackend"}}
    limits = [limit(path, Concurrency(len(path), name="crm")) for path in ("push", "export")]
    monkeypatch.setattr("offload.task_limits._defined", {item.path: item for item in limits})
    assert "offload.E041" in load_tasks(needs_all=False)

    # The other one is of tasks of Celery's that this backend cannot run.
    settings.SILENCED_SYSTEM_CHECKS = ["offload.E041", "offload.E091"]

    assert load_tasks(needs_all=False) == ""
    assert "(offload.W042) The task push has a limit" in caplog.text
