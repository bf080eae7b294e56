"""`manage.py offload_worker`, run as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from offload import JobState, OffloadResult
from offload.models import Job, Worker
from tests.tasks import aadd, add, fail
from tests.waiting import TIMEOUT_SECONDS
from tests.worker import progress_tasks, tasks
from tests.worker.conftest import until

ROOT = Path(__file__).resolve().parents[2]
BACKEND = "offload.backends.database.DatabaseBackend"


class Terminal:
    """A worker process and its output so far."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "django", "offload_worker", *arguments],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def text(self) -> str:
        return "".join(self._lines)

    def shows(self, pattern: str) -> bool:
        return re.search(pattern, self.text) is not None

    def wait_for(self, pattern: str) -> None:
        try:
            until(lambda: self.shows(pattern), seconds=TIMEOUT_SECONDS)
        except AssertionError:
            raise AssertionError(f"{pattern!r} is not in:\n{self.text}") from None

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait_for_exit()

    def wait_for_exit(self) -> int:
        try:
            code = self.process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"The worker did not exit:\n{self.text}") from None
        self._reader.join(TIMEOUT_SECONDS)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self._lines.extend(output)  # as soon as each line is written


type StartWorker = Callable[..., Terminal]


@pytest.fixture
def start_worker(
    transactional_db: None, process_environment: dict[str, str], tmp_path: Path
) -> Iterator[StartWorker]:
    started: list[Terminal] = []

    def start(*arguments: str, settings: str = "", **environment: str) -> Terminal:
        """Start a worker with lines appended to the settings."""
        (tmp_path / "project_settings.py").write_text(f"from tests.settings import *\n{settings}\n")
        changes = {
            "DJANGO_SETTINGS_MODULE": "project_settings",
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "PYTHONWARNINGS": "default",
            **environment,
        }
        terminal = Terminal(list(arguments), {**process_environment, **changes}, tmp_path)
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        if terminal.process.poll() is None:
            terminal.process.kill()
        terminal.wait_for_exit()


READY = r"Stop with Ctrl-C\."


# --- output -------------------------------------------------------------------------------


def test_the_banner_shows_queues_and_processes(start_worker):
    worker = start_worker("--queues", "mail,slow", "--processes", "1", "--threads", "3")
    worker.wait_for(READY)

    assert re.search(r"django-offload \d+\.\d+\.\d+, pid \d+", worker.text)
    assert "mail, slow (backend 'default')" in worker.text
    if connection.vendor == "sqlite":
        assert f"'default' ({connection.settings_dict['NAME']})" in worker.text
    assert re.search(r"1 process(es)? x 3 threads", worker.text)
    assert worker.stop() == 0


def test_nothing_is_printed_with_verbosity_0(start_worker):
    add.enqueue(1)
    worker = start_worker("--processes", "0", "--drain", "--verbosity", "0")

    assert worker.wait_for_exit() == 0
    assert worker.text == ""


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("processes", ["0", "1"])
def test_start_and_finish_of_each_job_are_logged_once(start_worker, debug, processes):
    good, bad = add.enqueue(1), fail.enqueue("because")
    worker = start_worker(
        "--processes", processes, "--drain", "--no-reload", settings=f"DEBUG = {debug}"
    )
    assert worker.wait_for_exit() == 0

    for result, final_state in ((good, "SUCCESSFUL"), (bad, "FAILED")):
        lines = [line for line in worker.text.splitlines() if result.id in line]
        assert len(lines) == 2, worker.text
        assert "RUNNING" in lines[0]
        assert final_state in lines[1]
    assert worker.text.count("ValueError: because") == 1


def test_a_line_that_the_projects_handlers_print_is_shown_once(start_worker):
    bad = fail.enqueue("because")
    logging = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler", "level": "WARNING"}},
        "root": {"handlers": ["console"]},
    }
    worker = start_worker("--processes", "0", "--drain", settings=f"LOGGING = {logging}")
    assert worker.wait_for_exit() == 0

    assert sum("FAILED" in line and bad.id in line for line in worker.text.splitlines()) == 1
    assert worker.text.count("ValueError: because") == 1


# --- errors -------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--queues", "mial"], "Unknown queue 'mial'. Did you mean 'mail'?"),
        (["--exclude-queues", "zzz"], "Choices are: default, mail, slow."),
        (["--backend", "defualt"], "Unknown backend 'defualt'. Did you mean 'default'?"),
        (["--backend", "dummy"], "DummyBackend"),
        (["--backend", "broken"], "TASKS['broken']: Could not find backend 'offload.Nothing'"),
        (["--database", "nowhere"], "--database: 'nowhere' is not in DATABASES. Choices are: "),
        (["--queues", ","], "--queues: ',' contains no name"),
        (["--exclude-queues", ""], "--exclude-queues: '' contains no name"),
        (["--processes", "-1"], "must be at least 0"),
        (["--threads", "0"], "must be at least 1"),
        (["--threads", "many"], "many"),
        (["--shutdown-timeout", "-1"], "--shutdown-timeout: must be at least 0, not -1."),
        (["--processes", "0", "--max-jobs-per-child", "5"], "--max-jobs-per-child"),
        (["--processes", "0", "--max-memory-per-child", "5"], "need at least --processes 1"),
        (["--max-load", "0"], "OPTIONS['max_load'] must be a number of at least 0.01, not 0.0"),
    ],
)
def test_an_invalid_argument_is_named(arguments, message):
    dummy = {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}
    default = {"BACKEND": BACKEND, "QUEUES": ["default", "mail", "slow"]}
    broken = {"BACKEND": "offload.Nothing"}
    with (
        override_settings(TASKS={"default": default, "dummy": dummy, "broken": broken}),
        pytest.raises(CommandError) as caught,
    ):
        call_command("offload_worker", *arguments)

    assert message in str(caught.value)


def test_an_invalid_option_in_the_settings_is_named(start_worker):
    worker = start_worker(settings="TASKS['default']['OPTIONS']['treads'] = 3")

    assert worker.wait_for_exit() != 0
    assert "Did you mean 'threads'?" in worker.text
    assert "Traceback" not in worker.text


def test_excluding_all_queues_is_refused(start_worker):
    worker = start_worker("--queues", "mail", "--exclude-queues", "mail", "--drain")

    assert worker.wait_for_exit() != 0
    assert "No queue is left to serve: all of mail are excluded." in worker.text
    assert "Traceback" not in worker.text


def test_missing_tables_are_reported_with_the_command_to_run(start_worker, tmp_path):
    file = tmp_path / "empty.sqlite3"
    worker = start_worker(
        "--database",
        "empty",
        settings=f"DATABASES['empty'] = {{'ENGINE': 'django.db.backends.sqlite3', "
        f"'NAME': {str(file)!r}}}",
    )

    assert worker.wait_for_exit() != 0
    assert "python manage.py migrate --database empty" in worker.text
    assert "Traceback" not in worker.text


def test_it_waits_for_a_database_that_does_not_respond(start_worker, tmp_path):
    folder = tmp_path / "later"
    settings = (
        "DATABASES['later'] = {**DATABASES['default'], 'ENGINE': 'django.db.backends.sqlite3', "
        f"'NAME': {str(folder / 'jobs.sqlite3')!r}, 'OPTIONS': {{}}}}"
    )
    worker = start_worker("--processes", "0", "--database", "later", "--drain", settings=settings)
    worker.wait_for("does not respond.*\n.*Waiting for the database")

    there = tmp_path / "there"
    there.mkdir()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "elsewhere",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
    }
    elsewhere = settings.replace(str(folder), str(there))
    (tmp_path / "elsewhere.py").write_text(f"from tests.settings import *\n{elsewhere}\n")
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--database", "later", "--verbosity", "0"],
        env=environment,
        check=True,
        timeout=60,
    )
    there.rename(folder)

    worker.wait_for("The database responds")
    assert worker.wait_for_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_while_it_waits_for_the_database(start_worker, tmp_path, number):
    name = str(tmp_path / "nowhere" / "jobs.sqlite3")
    worker = start_worker(
        "--database",
        "later",
        settings="DATABASES['later'] = {'ENGINE': 'django.db.backends.sqlite3', "
        f"'NAME': {name!r}}}",
    )
    worker.wait_for("Waiting for the database")

    worker.stop(number)

    assert "Traceback" not in worker.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_while_its_child_processes_load_the_project(start_worker, tmp_path, number):
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "tasks.py").write_text(
        "import threading\nprint('loading', flush=True)\nthreading.Event().wait()\n"
    )
    worker = start_worker("--processes", "1", settings="INSTALLED_APPS += ['slow']")
    worker.wait_for("loading")

    assert worker.stop(number) == 0

    assert "Traceback" not in worker.text
    assert worker.text.endswith("Stopped.\n")


# --- jobs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", ["0", "1"])
def test_it_exits_when_the_queue_is_empty(start_worker, processes):
    results = [*add.enqueue_many([((n,), {}) for n in range(20)]), aadd.enqueue(1)]

    assert start_worker("--processes", processes, "--drain").wait_for_exit() == 0

    assert Job.objects.filter(state=JobState.SUCCESSFUL).count() == len(results)
    assert not Worker.objects.exists()


def test_it_serves_the_chosen_queues(start_worker):
    served = add.using(queue_name="mail").enqueue(1)
    others = [add.enqueue(1), add.using(queue_name="slow").enqueue(1)]

    arguments = ("--queues", "mail,slow", "--exclude-queues", "slow", "--processes", "0")
    start_worker(*arguments, "--drain").wait_for_exit()

    served.refresh()
    assert served.state == JobState.SUCCESSFUL
    for other in others:
        other.refresh()
        assert other.state == JobState.READY


def test_without_queues_in_the_settings_it_serves_all(start_worker):
    names = ["default", "slow", "unlisted"]
    for name in names:
        result = add.enqueue(1)
        Job.objects.filter(pk=result.id).update(queue_name=name)

    settings = "TASKS['default']['QUEUES'] = []"
    worker = start_worker("--processes", "0", "--exclude-queues", "slow", settings=settings)
    until(lambda: Job.objects.filter(state=JobState.SUCCESSFUL).count() == 2)

    assert worker.stop() == 0
    assert Job.objects.get(state=JobState.READY).queue_name == "slow"


def test_child_processes_restart_after_max_jobs(start_worker):
    results = tasks.log_word.enqueue_many([((f"command{n}",), {}) for n in range(40)])

    limits = ["--max-jobs-per-child", "5", "--max-memory-per-child", "4000", "--max-load", "1e6"]
    worker = start_worker("--processes", "1", *limits, "--drain")
    worker.wait_for_exit()

    for result in results:
        result.refresh()
    assert len({result.return_value for result in results}) >= 8
    assert "at most   5 jobs per process, 4,000 MiB per process, load 1e+06" in worker.text


# --- signals ------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", ["0", "1"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_jobs_finish_after_a_signal(start_worker, tmp_path, processes, number):
    gate = tmp_path / "gate"
    worker = start_worker("--processes", processes, "--threads", "1")
    running, waiting = tasks.hold.enqueue(str(gate)), tasks.hold.enqueue(str(gate))
    until(lambda: Job.objects.filter(pk=running.id, state=JobState.RUNNING).exists())
    until(lambda: worker.shows(rf"{running.id}.*RUNNING"))

    worker.process.send_signal(number)
    until(lambda: Job.objects.filter(pk=waiting.id, state=JobState.READY).exists())
    job = rf"{running.id}  tests\.worker\.tasks\.hold"
    worker.wait_for(rf"1 running job may go on for 30 s:\n  {job}\nPress Ctrl-C again to stop")
    gate.touch()

    assert worker.wait_for_exit() == 0
    assert "Stopped." in worker.text
    assert "Traceback" not in worker.text
    running.refresh()
    waiting.refresh()
    assert (running.state, waiting.state) == (JobState.SUCCESSFUL, JobState.READY)
    assert not Worker.objects.exists()


def test_a_second_signal_stops_it_at_once(start_worker, tmp_path):
    worker = start_worker("--processes", "1")
    running = tasks.hold.enqueue(str(tmp_path / "never"))
    until(lambda: worker.shows(rf"{running.id}.*RUNNING"))

    worker.process.send_signal(signal.SIGTERM)
    assert worker.stop(signal.SIGINT) == 0

    running.refresh()
    assert running.state == JobState.READY


def test_a_signal_to_the_whole_process_group_stops_it_gracefully(start_worker, tmp_path):
    """Ctrl-C also sends the signal to the child processes and the fork server."""
    gate = tmp_path / "gate"
    worker = start_worker("--processes", "1")
    running = tasks.hold.enqueue(str(gate))
    until(lambda: worker.shows(rf"{running.id}.*RUNNING"))

    for pid in family_of(worker.process.pid):
        os.kill(pid, signal.SIGINT)
    gate.touch()

    assert worker.wait_for_exit() == 0
    running.refresh()
    assert running.state == JobState.SUCCESSFUL


def test_sigquit_prints_the_stacks_of_worker_and_child_processes(start_worker, tmp_path):
    gate = tmp_path / "gate"
    worker = start_worker("--processes", "1")
    running = tasks.hold.enqueue(str(gate))
    until(lambda: worker.shows(rf"{running.id}.*RUNNING"))

    for pid in family_of(
        worker.process.pid
    ):  # one after the other, because their output would interleave
        count = worker.text.count("most recent call first")
        os.kill(pid, signal.SIGQUIT)
        until(lambda count=count: worker.text.count("most recent call first") > count)
    worker.wait_for(r'engine\.py", line \d+ in step')
    worker.wait_for(r'tests/worker/tasks\.py", line \d+ in hold')
    gate.touch()
    running.wait(30)

    assert running.state == JobState.SUCCESSFUL
    assert worker.stop() == 0


def family_of(pid: int) -> list[int]:
    """Return a process and its descendants, except the tracker of shared resources."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    if b"resource_tracker" in command:
        return []
    return [pid, *(member for child in text.split() for member in family_of(int(child)))]


# --- reload -------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_changed_file_restarts_it_after_running_jobs_finish(start_worker, tmp_path, processes):
    gate = tmp_path / "gate"
    module = tmp_path / "watched_module.py"
    module.write_text("VALUE = 1\n")
    worker = start_worker(
        "--processes", processes, "--threads", "1", "--reload", settings="import watched_module"
    )
    worker.wait_for(READY)
    running = tasks.hold.enqueue(str(gate))
    until(lambda: worker.shows(rf"{running.id}.*RUNNING"))

    # The first check of the files may come later than this: change the file until it is seen.
    other = tasks.hold.enqueue(str(gate))
    until(lambda: os.utime(module) or Job.objects.get(pk=other.id).state == JobState.READY)
    gate.touch()

    worker.wait_for(rf"Code changed(.|\n)*{READY}")
    running.wait(30)
    assert running.state == JobState.SUCCESSFUL
    assert add.enqueue(5).wait(30).return_value == 5
    assert worker.stop() == 0


def test_it_waits_for_the_next_change_if_changed_code_cannot_be_loaded(start_worker, tmp_path):
    module = tmp_path / "watched_module.py"
    module.write_text("VALUE = 1\n")
    worker = start_worker("--processes", "1", "--reload", settings="import watched_module")
    worker.wait_for(READY)

    module.write_text("class X(\n")
    worker.wait_for(r"SyntaxError(.|\n)*Waiting for the next change\.")
    module.write_text("class X:\n    pass\n")

    worker.wait_for(rf"Waiting for the next change(.|\n)*{READY}")
    assert add.enqueue(5).wait(30).return_value == 5
    assert worker.stop() == 0


def test_it_stops_while_changed_code_cannot_be_loaded(start_worker, tmp_path):
    module = tmp_path / "watched_module.py"
    module.write_text("VALUE = 1\n")
    worker = start_worker("--processes", "0", "--reload", settings="import watched_module")
    worker.wait_for(READY)
    module.write_text("class X(\n")
    worker.wait_for("Waiting for the next change")

    assert worker.stop(signal.SIGINT) == 0

    assert worker.text.endswith("Stopped.\n")


def enqueue_greeting() -> OffloadResult:
    result = add.enqueue("Ada")
    Job.objects.filter(pk=result.id).update(task_path="shop.tasks.greet")
    return result


GREET = "from django.tasks import task\n\n@task\ndef greet(name):\n    return f'Hello {name}'\n"


@pytest.mark.parametrize("processes", ["0", "1"])
def test_jobs_wait_while_a_tasks_module_cannot_be_loaded(start_worker, tmp_path, processes):
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "tasks.py").write_text(GREET[:-5])  # half-saved: unterminated f-string
    waiting = enqueue_greeting()
    worker = start_worker(
        "--processes", processes, "--reload", settings='INSTALLED_APPS += ["shop"]'
    )

    for mistake in ("nme_error\n", "import gone\n"):  # the first start, then the next changes
        worker.wait_for(r"SyntaxError(.|\n)*Waiting for the next change\.")
        (shop / "tasks.py").write_text(GREET + mistake)
        worker.wait_for(r"Error: .*\b(nme_error|gone)\b(.|\n)*Waiting for the next change\.")
    assert Job.objects.get(pk=waiting.id).state == JobState.READY
    assert "do not run" not in worker.text  # what manage.py does has nothing to do with it
    (shop / "tasks.py").write_text(GREET)
    worker.wait_for(READY)

    until(lambda: Job.objects.get(pk=waiting.id).state == JobState.SUCCESSFUL)
    assert len(re.findall("^ *SyntaxError", worker.text, re.MULTILINE)) == 1

    (shop / "tasks.py").write_text(GREET[:-5])
    worker.wait_for(r"restarting(.|\n)*SyntaxError(.|\n)*Waiting for the next change\.")
    waiting = enqueue_greeting()
    (shop / "tasks.py").write_text(f"{GREET}\n")
    until(lambda: Job.objects.get(pk=waiting.id).state == JobState.SUCCESSFUL)
    assert worker.stop() == 0


# --- progress -----------------------------------------------------------------------------


@pytest.mark.parametrize("processes", ["0", "1"])
def test_progress_is_published_while_the_job_runs_and_keeps_its_last_value(
    start_worker, tmp_path, processes
):
    result = progress_tasks.climb.enqueue(str(tmp_path), 3)
    start_worker("--processes", processes)

    def current() -> float:
        result.refresh()
        return result.progress.done if result.progress else 0

    for number in (1, 2, 3):
        until(lambda number=number: current() == number)
        assert result.state == JobState.RUNNING
        (tmp_path / str(number)).touch()

    assert result.wait(30).state == JobState.SUCCESSFUL
    assert (result.progress.done, result.progress.message) == (3, "Step 3")
