"""`offload_queues`: what it prints, and what it changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from offload import queues
from offload.management.commands.offload_queues import Command
from tests.tasks import add

pytestmark = pytest.mark.django_db


def run_command(*args: str) -> str:
    output = StringIO()
    call_command("offload_queues", *args, stdout=output, stderr=output)
    return output.getvalue().strip()


@pytest.mark.parametrize("arguments", [["list", "--no-color"], ["--no-color", "list"]])
def test_common_options_are_accepted_before_and_after_the_action(arguments: list[str]) -> None:
    parser = Command().create_parser("manage.py", "offload_queues")

    assert parser.parse_args(arguments).no_color


def test_queues_are_listed_with_their_pauses_and_jobs() -> None:
    add.using(queue_name="mail").enqueue_many([((1,), {})] * 3)
    queues.pause("mail")
    queues.pause("slow", until=datetime(2100, 1, 1, tzinfo=UTC))

    header, default, mail, slow = (line.split() for line in run_command("list").splitlines())

    assert header[:4] == ["NAME", "PAUSED", "CONCURRENCY", "RATE"]
    assert header[4:] == ["MAX", "QUEUED", "WAITING", "SCHEDULED", "RUNNING"]
    assert default == ["default", "no", "-", "-", "-", "0", "0", "0"]
    assert mail == ["mail", "yes", "-", "-", "-", "3", "0", "0"]
    assert slow[:2] == ["slow", "until"]


def test_without_queues_the_list_says_so() -> None:
    tasks: Any = {"default": {"BACKEND": "offload.backends.database.DatabaseBackend", "QUEUES": []}}
    with override_settings(TASKS=tasks):
        assert run_command("list") == "No queues."
        assert run_command("list", "--json") == "[]"


def test_a_pause_prints_the_queue_and_names_the_user_of_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ada")

    lines = run_command("pause", "mail", "--reason", "bug 17", "--public").splitlines()

    details = dict(line.split(":", 1) for line in lines)
    assert details["paused"].strip() == "yes"
    assert details["since"].endswith("by ada")
    assert details["reason"].strip() == "bug 17 (shown on pages)"
    assert queues.get("mail").is_paused


def test_a_pause_ends_at_a_time_or_after_some_seconds() -> None:
    run_command("pause", "mail", "--until", "2100-01-01T12:00+09:00", "--by", "ada")
    mail = queues.get("mail")
    assert mail.paused_until == datetime(2100, 1, 1, 3, tzinfo=UTC)
    assert mail.changed_by == "ada"

    run_command("pause", "mail", "--until", "90")
    mail = queues.get("mail")
    assert mail.paused_until is not None
    assert mail.paused_at is not None
    assert mail.paused_until - mail.paused_at == timedelta(seconds=90)

    run_command("pause", "mail", "--until", "2h")
    mail = queues.get("mail")
    assert mail.paused_until is not None
    assert mail.paused_at is not None
    assert mail.paused_until - mail.paused_at == timedelta(hours=2)


def test_resume_says_that_a_queue_was_not_paused() -> None:
    queues.pause("slow")

    assert run_command("resume", "mail").startswith("The queue 'mail' was not paused.")
    assert "was not paused" not in run_command("resume", "slow")


def test_a_resumed_queue_is_printed_as_json() -> None:
    queues.pause("mail", reason="bug")

    assert json.loads(run_command("show", "mail", "--json"))["reason"] == "bug"
    assert json.loads(run_command("resume", "mail", "--json")) == {
        "name": "mail",
        "is_paused": False,
        "reason": "",
        "is_reason_public": False,
        "changed_by": "",
        "paused_at": None,
        "paused_until": None,
        "limits": {},
        "settings": {},
        "limits_reason": "",
        "limits_changed_by": "",
        "limits_changed_at": None,
        "waiting": 0,
        "scheduled": 0,
        "running": 0,
    }


def test_limits_are_set_taken_away_and_reset() -> None:
    tasks: Any = {
        "default": {
            "BACKEND": "offload.backends.database.DatabaseBackend",
            "QUEUES": ["mail"],
            "OPTIONS": {"queue_limits": {"mail": {"max_queued": 500}}},
        }
    }
    with override_settings(TASKS=tasks):
        output = run_command(
            "limit", "mail", "--max-queued", "10000", "--reason", "Busy day", "--by", "ada"
        )
        assert "max queued:         10,000 (settings: 500)" in output
        assert "by ada" in output
        assert "reason of change:   Busy day" in output
        assert "max queued:         - (settings: 500)" in run_command(
            "limit", "mail", "--max-queued", "none"
        )
        assert "max queued:         500\n" in run_command("reset", "mail")


def test_how_many_jobs_run_and_start_is_limited() -> None:
    output = run_command(
        "limit", "mail", "--concurrency", "20", "--rate", "14/s", "--burst", "5", "--json"
    )

    assert json.loads(output)["limits"] == {"concurrency": 20, "rate": "14/s", "burst": 5}
    output = run_command("limit", "mail", "--concurrency", "none")
    assert "concurrency:        -\n" in output
    assert "rate:               14/s (settings: none)" in output
    assert "rate:               -" in run_command("limit", "mail", "--rate", "none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pause", "mial"], "no queue 'mial'. Did you mean 'mail'?"),
        (["resume", "mial"], "no queue 'mial'. Did you mean 'mail'?"),
        (["pause", "mail", "--until", "2000-01-01T00:00"], "until must be in the future"),
        (["pause", "mail", "--until", "2w"], "'2w' is no time. Write 2026-12-01T06:00, or"),
        (["pause", "mail", "--until", "99999999999d"], "'99999999999d' is too long"),
        (["pause", "mail", "--public"], "public=True shows the reason"),
        (["limit", "mail"], "Nothing to limit: pass one of concurrency, rate, max_queued"),
        (["limit", "mail", "--rate", "9/x"], 'A rate is text such as "100/m"'),
        (["limit", "mail", "--burst", "5"], "--burst belongs to a rate"),
        (["limit", "mail", "--max-queued", "0"], "must be at least 1, not 0"),
        (["limit", "mail", "--max-queued", "2000000"], "from 1 to 1,000,000, not 2000000"),
        (["reset", "mial"], "no queue 'mial'"),
        (["list", "--backend", "nosuch"], "Unknown backend 'nosuch'"),
    ],
)
def test_errors_are_explained(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError) as raised:
        run_command(*arguments)

    assert message in str(raised.value)
