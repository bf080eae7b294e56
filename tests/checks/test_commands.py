"""The checks of what the ready-made tasks may do."""

from __future__ import annotations

import pytest
from django.test import override_settings

from offload.checks.commands import check_commands, check_ready_made
from offload.schedules.in_code import declared_schedules

BACKEND = "offload.backends.database.DatabaseBackend"


def messages(options: dict[str, object]) -> list[str]:
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}}):
        return [f"{message.id}: {message.msg}" for message in check_commands()]


@pytest.mark.parametrize("names", [[], ["*"], ["clearsessions", "offload_prune"]])
def test_commands_that_exist_are_fine(names: list[str]) -> None:
    assert messages({"allowed_commands": names}) == []


def test_a_command_that_does_not_exist_is_named_with_the_nearest() -> None:
    (message,) = messages({"allowed_commands": ["clearsession"]})

    assert message.startswith("offload.W061: OPTIONS['allowed_commands'] names 'clearsession'")
    assert message.endswith("Did you mean 'clearsessions'?")


def test_wrong_options_are_left_to_their_check() -> None:
    assert messages({"allowed_commands": "clearsessions"}) == []


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"task": "back_up", "args": ["/srv/other"]}, "directory: Jobs may not write backups into"),
        ({"task": "back_up", "args": ["/srv/backups"], "kwargs": {"keep": 0}}, "keep: Ensure this"),
        ({"task": "run_command", "args": ["flush"]}, "name: Jobs may not run the command 'flush'"),
        ({"task": "back_up", "kwargs": {"directory": "/srv/backups/a"}}, ""),
        ({"task": "run_command", "args": ["check", "--deploy"]}, ""),
        ({"task": "clear_sessions"}, ""),
    ],
)
def test_a_schedule_whose_jobs_the_settings_do_not_allow_is_an_error(
    schedule: dict[str, object], words: str
) -> None:
    schedule |= {"task": f"offload.maintenance.{schedule['task']}", "cron": "@daily"}
    options = {
        "schedules": {"nightly": schedule},
        "backup_directories": ["/srv/backups"],
        "allowed_commands": ["check"],
    }
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}}):
        found = [
            str(message.msg)
            for message in check_ready_made(declared_schedules())
            if "'nightly'" in str(message.msg)
        ]

    assert len(found) == bool(words)
    assert all(words in text for text in found)
