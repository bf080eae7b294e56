"""Management commands as jobs: which are allowed, what is kept of their output, how they fail."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.core.management import BaseCommand, CommandError
from django.test import override_settings

from offload.conf import BackendOptions
from offload.lifecycle import JobState
from offload.maintenance import CommandNotAllowed, prune_jobs, run_command
from offload.maintenance.command_output import MAX_KEPT_CHARS, MAX_LOGGED_LINES
from offload.testing import run_jobs
from tests.tasks import add

BACKEND = "offload.backends.database.DatabaseBackend"
type Define = Callable[[Callable[[BaseCommand, Any], object]], None]


def allowing(*names: str) -> Any:
    options = {"allowed_commands": list(names)}
    return override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}})


@pytest.fixture(autouse=True)
def allowed() -> Iterator[None]:
    with allowing("example"):
        yield


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Make the command `example`."""

    def define(handle: Callable[[BaseCommand, Any], object]) -> None:
        class Command(BaseCommand):
            def add_arguments(self, parser: Any) -> None:
                parser.add_argument("words", nargs="*")
                parser.add_argument("--days", type=int, default=0)

            def handle(self, *args: Any, **options: Any) -> None:
                handle(self, options)

        monkeypatch.setattr("django.core.management.get_commands", lambda: {"example": Command()})
        monkeypatch.setattr(
            "offload.maintenance.commands.get_commands", lambda: {"example": Command()}
        )

    return define


def test_its_output_is_returned(define: Define) -> None:
    define(lambda command, options: command.stdout.write(f"{options['words']} {options['days']}"))

    assert run_command.call("example", "a", 1, days=3) == "['a', '1'] 3"
    assert run_command.call("example", "--days", 4) == "[] 4"


def test_its_output_is_logged_line_by_line_and_errors_as_warnings(
    define: Define, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(command: BaseCommand, _options: Any) -> None:
        command.stdout.write("one", ending="")
        command.stdout.write("\ntwo\x1b[2J")
        command.stderr.write("three")
        command.stdout.write("four", ending="")

    define(handle)
    with caplog.at_level(logging.INFO, "offload.maintenance"):
        output = run_command.call("example", "secret")

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "example: one"),
        ("INFO", "example: two\\x1b[2J"),
        ("WARNING", "example: three"),
        ("INFO", "example: four"),
    ]
    assert output == "one\ntwo\x1b[2J\nthree\nfour"


def test_styles_become_no_colors(define: Define) -> None:
    define(lambda command, _: command.stdout.write(command.style.SUCCESS("fine")))

    assert run_command.call("example") == "fine"


def test_of_much_output_the_end_is_returned_and_the_start_is_logged(
    define: Define, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(command: BaseCommand, _options: Any) -> None:
        for number in range(5_000):
            command.stdout.write(f"line {number:,}")
        command.stdout.write("\0")

    define(handle)
    with caplog.at_level(logging.INFO, "offload.maintenance"):
        output = run_command.call("example")

    first, *_, last = output.split("\n")
    assert first.startswith("... ")
    assert first.endswith(" characters left out ...")
    assert last == "\\u0000"
    assert MAX_KEPT_CHARS <= len(output) < 2 * MAX_KEPT_CHARS
    assert len(caplog.records) == MAX_LOGGED_LINES + 1
    assert "more than 1000 lines are not logged" in caplog.records[-1].getMessage()


def test_one_huge_line_is_cut(define: Define, caplog: pytest.LogCaptureFixture) -> None:
    define(lambda command, _: command.stdout.write("x" * 3_000_000))
    with caplog.at_level(logging.INFO, "offload.maintenance"):
        output = run_command.call("example")

    assert output.startswith("... 2,980,001 characters left out ...\nxxx")
    assert len(caplog.records[0].getMessage()) < 1_100


def test_a_failed_command_fails_with_its_error_and_the_end_of_its_output(define: Define) -> None:
    def handle(command: BaseCommand, _options: Any) -> None:
        command.stdout.write("reading orders.csv")
        raise CommandError("No such file")

    define(handle)
    with pytest.raises(CommandError, match="No such file") as caught:
        run_command.call("example")

    assert "ended with:\nreading orders.csv" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("code", "message"), [(3, "'example' exited with code 3"), ("bad luck", "^bad luck$")]
)
def test_an_exit_code_is_a_failure(define: Define, code: Any, message: str) -> None:
    define(lambda _command, _options: sys.exit(code))

    with pytest.raises(CommandError, match=message):
        run_command.call("example")


@pytest.mark.parametrize("code", [0, None])
def test_an_exit_without_a_code_is_a_success(define: Define, code: Any) -> None:
    define(lambda _command, _options: sys.exit(code))

    assert run_command.call("example") == ""


def test_a_command_that_asks_is_told_to_use_no_input(define: Define) -> None:
    def handle(_command: BaseCommand, _options: Any) -> None:
        raise EOFError  # as input() does without a terminal

    define(handle)
    with pytest.raises(CommandError, match=r'asked a question.*"--no-input"'):
        run_command.call("example")


def test_wrong_arguments_are_errors(define: Define) -> None:
    define(lambda _command, _options: None)

    with pytest.raises(CommandError, match="argument --days: invalid int value"):
        run_command.call("example", "--days", "x")
    with pytest.raises(TypeError, match="Unknown option"):
        run_command.call("example", weeks=1)
    with pytest.raises(ImproperlyConfigured, match="takes no option 'stdout'"):
        run_command.call("example", stdout="x")


def test_a_command_that_is_not_allowed_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(CommandNotAllowed) as caught:
        run_command.call("flush", "--no-input")

    assert "may not run the command 'flush'" in str(caught.value)
    assert "[\"allowed_commands\"] = ['example', 'flush']" in str(caught.value)


def test_a_star_allows_all_commands() -> None:
    with allowing("*"):
        assert run_command.call("check", "--tag", "models").startswith("System check")
        with pytest.raises(CommandError, match=r"no command 'chekc'.* Did you mean 'check'"):
            run_command.call("chekc")


@pytest.mark.parametrize("value", ["flush", [1], None])
def test_the_setting_is_a_list_of_names(value: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'allowed_commands'.* must be a list of names"):
        BackendOptions.parse({"allowed_commands": value})


@pytest.mark.django_db
def test_it_runs_as_a_job_once_and_with_a_limit_for_each_command_line(define: Define) -> None:
    define(lambda command, options: command.stdout.write(str(options["days"])))
    first = run_command.enqueue("example", days=1)
    same = run_command.enqueue("example", days=1)
    other = run_command.enqueue("example", days=2)
    assert run_command.at_most_once

    run_jobs()

    for result, output in ((first, "1"), (same, "1"), (other, "2")):
        result.refresh()
        assert (result.state, result.return_value) == (JobState.SUCCESSFUL, output)


@pytest.mark.django_db
def test_old_jobs_are_pruned() -> None:
    add.enqueue(1, 2)
    run_jobs()

    assert prune_jobs.call(older_than=1) == "Deleted 0 jobs."
    assert prune_jobs.call(older_than=0, queue_name="default").startswith("Deleted 1 jobs")


@pytest.mark.django_db
def test_the_command_of_the_page_needs_no_other_setting() -> None:
    with allowing("clearsessions"):
        Session.objects.create(session_key="a", expire_date="2000-01-01T00:00Z")

        assert run_command.call("clearsessions") == ""
    assert not Session.objects.exists()
