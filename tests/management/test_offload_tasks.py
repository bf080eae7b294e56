"""`offload_tasks`: what it prints, and what it changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from offload import paused_tasks
from offload.management.commands.offload_tasks import Command
from tests.tasks import aadd, add

pytestmark = pytest.mark.django_db

ADD = "tests.tasks.add"


def run_command(*args: str) -> str:
    output = StringIO()
    call_command("offload_tasks", *args, stdout=output, stderr=output)
    return output.getvalue().strip()


@pytest.mark.parametrize("arguments", [["list", "--no-color"], ["--no-color", "list"]])
def test_common_options_are_accepted_before_and_after_the_action(arguments: list[str]) -> None:
    parser = Command().create_parser("manage.py", "offload_tasks")

    assert parser.parse_args(arguments).no_color


def test_paused_tasks_are_listed() -> None:
    assert run_command("list") == "No task is paused."
    add.pause(reason="Bug 17", changed_by="ada")
    aadd.pause(until=datetime(2100, 1, 1, tzinfo=UTC))

    header, other, paused = run_command("list").splitlines()

    assert header.split() == ["PATH", "PAUSED", "BY", "PUT", "ASIDE", "REASON"]
    assert paused.split() == [ADD, "yes", "ada", "0", "Bug", "17"]
    assert other.split()[:3] == ["tests.tasks.aadd", "until", "2099-12-31"]


def test_a_pause_prints_the_task_and_names_the_user_of_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ada")

    lines = run_command("pause", ADD, "--reason", "Bug 17", "--public").splitlines()

    assert lines[0].split() == ["task:", ADD]
    assert lines[1].split() == ["paused:", "yes"]
    assert lines[2].endswith(" by ada")
    assert lines[3].split() == ["reason:", "Bug", "17", "(shown", "on", "pages)"]
    assert lines[4].split() == ["put", "aside:", "0"]
    assert paused_tasks.get(add).changed_by == "ada"


def test_a_pause_may_end_by_itself_and_be_somebody_elses() -> None:
    run_command("pause", ADD, "--until", "2h", "--by", "eve")

    task = paused_tasks.get(add)
    assert (task.changed_by, task.paused_until is not None) == ("eve", True)


def test_a_resumed_task_is_shown_and_one_that_was_not_paused_is_noted() -> None:
    add.pause()

    assert run_command("resume", ADD).splitlines() == run_command("show", ADD).splitlines()
    assert not paused_tasks.get(add).is_paused
    assert f"The task '{ADD}' was not paused." in run_command("resume", ADD)


def test_json_has_all_that_is_known() -> None:
    add.pause(reason="Bug 17", until=datetime(2100, 1, 1, tzinfo=UTC), changed_by="ada")

    (listed,) = json.loads(run_command("list", "--json"))

    assert listed == json.loads(run_command("show", ADD, "--json"))
    assert listed.pop("paused_at")
    assert listed == {
        "path": ADD,
        "is_paused": True,
        "reason": "Bug 17",
        "is_reason_public": False,
        "changed_by": "ada",
        "paused_until": "2100-01-01T00:00:00.000Z",
        "put_aside": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pause", "tests.tasks.ad"], r"no task 'tests.tasks.ad'\. Did you mean 'add'\?"),
        (["pause", ADD, "--public"], "pass a reason"),
        (["pause", ADD, "--until", "2001-01-01"], "in the future"),
        (["pause", ADD, "--backend", "nope"], "nope"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run_command(*arguments)
