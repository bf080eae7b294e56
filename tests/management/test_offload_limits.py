"""`offload_limits` on a database with limits."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from offload import limits
from offload.management.commands.offload_limits import Command
from offload.models import Limit
from tests.jobs import register_worker
from tests.limits import tasks
from tests.limits.claims import claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def _limits() -> None:
    tasks.push.enqueue_many([((customer,), {}) for customer in "aaab"])
    tasks.import_orders.enqueue_many([((customer,), {}) for customer in "aaab"])
    claim(register_worker())


def run_command(*args: str) -> str:
    output = StringIO()
    call_command("offload_limits", *args, stdout=output, stderr=output)
    return output.getvalue().strip()


def raise_key_error() -> str:
    raise KeyError("getpwuid(): uid not found: 1234")


@pytest.mark.parametrize("arguments", [["list", "--no-color"], ["--no-color", "list"]])
def test_common_options_are_accepted_before_and_after_the_action(arguments: list[str]) -> None:
    parser = Command().create_parser("manage.py", "offload_limits")

    assert parser.parse_args(arguments).no_color


def test_without_limits_the_list_says_so() -> None:
    assert run_command("list") == "No limits."
    assert run_command("list", "--json") == "[]"


@pytest.mark.usefixtures("_limits")
def test_limits_are_listed_with_their_numbers_and_jobs() -> None:
    header, crm, imports = run_command("list").splitlines()

    assert header.split("  ")[0] == "NAME"
    assert crm.split() == ["crm", "-", "-", "1/d", "-", "3", "1"]
    assert imports.split() == ["tests.limits.tasks.import_orders", "2", "3", "-", "-", "3", "1"]


def test_the_path_of_a_function_that_gives_the_numbers_is_listed() -> None:
    tasks.by_tariff.enqueue("a")
    claim(register_worker())

    _, line = run_command("list").splitlines()

    assert line.split()[1] == "tests.limits.tasks.own_maximum"


@pytest.mark.usefixtures("_limits")
def test_a_limit_that_no_code_has_is_named() -> None:
    Limit.objects.filter(pk="crm").update(seen_at=0)

    assert run_command("list").splitlines()[-1] == "crm is not in the code"
    assert "in code" in run_command("show", "crm")
    crm, imports = json.loads(run_command("list", "--json"))
    assert (crm["in_code"], imports["in_code"]) == (False, True)


@pytest.mark.usefixtures("_limits")
def test_a_change_is_listed_beside_the_number_of_the_code() -> None:
    run_command("set", "crm", "--concurrency", "4", "--rate", "9/m", "--reason", "slow")

    _, crm, _ = run_command("list").splitlines()

    assert crm.split("  ")[0] == "crm"
    assert "4 (code: none)" in crm
    assert "9/m (code: 1/d)" in crm


@pytest.mark.usefixtures("_limits")
def test_a_limit_is_shown_with_its_keys_its_reason_and_who_changed_it() -> None:
    run_command(
        *("set", "crm", "--rate", "9/h", "--burst", "3", "--by", "ada", "--reason", "slow today")
    )

    output = run_command("show", "crm")
    lines = output.splitlines()

    details = dict(line.split(":", 1) for line in lines[: lines.index("")])
    assert details["rate"].strip() == "9/h (code: 1/d)"
    assert details["burst"].strip() == "3 (code: 2)"
    assert details["changed"].strip().endswith(" by ada")
    assert details["reason"].strip() == "slow today"
    assert (details["running"].strip(), details["waiting"].strip()) == ("3", "1")
    assert lines[lines.index("") + 2].split()[:4] == ["a", "-", "2", "1"]
    assert lines[lines.index("") + 3].split() == ["b", "-", "1", "0"]
    assert "There may be more keys: --limit is 1." in run_command("show", "crm", "--limit", "1")


def test_a_rate_without_keys_shows_its_next_start() -> None:
    tasks.clean.enqueue_many([((), {})] * 2)
    claim(register_worker())

    output = run_command("show", tasks.clean.module_path)

    assert "\nnext start:" in output
    assert "KEY" not in output


@pytest.mark.usefixtures("_limits")
def test_a_limit_is_shown_as_json() -> None:
    run_command("set", "crm", "--concurrency", "9", "--by", "ada", "--reason", "slow")

    document = json.loads(run_command("show", "crm", "--json"))

    keys = document.pop("keys")
    assert document == json.loads(run_command("list", "--json"))[0]
    assert document.pop("changed_at").endswith("Z")
    assert document.pop("seen_at").endswith("Z")
    assert document == {
        "name": "crm",
        "numbers": {"concurrency": 9, "rate": "1/d", "burst": 2},
        "code": {"rate": "1/d", "burst": 2},
        "reason": "slow",
        "changed_by": "ada",
        "running": 3,
        "waiting": 1,
        "in_code": True,
    }
    assert keys[0].pop("next_start").endswith("Z")
    assert keys == [
        {"key": "a", "concurrency": 9, "running": 2, "waiting": 1},
        {"key": "b", "concurrency": 9, "running": 1, "waiting": 0, "next_start": None},
    ]


@pytest.mark.usefixtures("_limits")
def test_a_change_prints_the_limit_and_names_the_user_of_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")

    output = run_command("set", "crm", "--concurrency", "4", "--reason", "slow")

    assert "4 (code: none)" in output
    assert " by grace\n" in output
    assert limits.get("crm").changed_by == "grace"
    monkeypatch.setattr("getpass.getuser", raise_key_error)  # as without a name in /etc/passwd
    run_command("set", "crm", "--concurrency", "4", "--reason", "slow")
    assert limits.get("crm").changed_by == ""
    assert "changed" not in run_command("reset", "crm")
    assert limits.get("crm").changed_at is None


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "cmr"], "There is no limit 'cmr'. Did you mean 'crm'?"),
        (["reset", "cmr"], "There is no limit 'cmr'. Did you mean 'crm'?"),
        (["set", "cmr", "--total", "1", "--reason", "x"], "There is no limit 'cmr'."),
        (["set", "crm", "--reason", "x"], "Nothing to change: pass one of concurrency, "),
        (["set", "crm", "--concurrency", "1"], "required: --reason"),
        (["set", "crm", "--concurrency", "0", "--reason", "x"], "must be at least 1, not 0"),
        (["set", "crm", "--concurrency", "9000000", "--reason", "x"], "from 1 to 1,000,000"),
        (["set", "crm", "--rate", "fast", "--reason", "x"], 'A rate is text such as "100/m"'),
        (["set", "crm", "--burst", "5", "--reason", "x"], "--burst belongs to a rate"),
        (["set", "crm", "--total", "5", "--reason", "x"], "no number for all keys together"),
        (["set", "crm", "--total", "5", "--reason", " "], "needs a reason"),
        (["list", "--database", "nowhere"], "'nowhere' is not in DATABASES"),
    ],
)
def test_bad_input_is_a_clear_error(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError) as error:
        run_command(*arguments)

    assert message in str(error.value)
    assert limits.get("crm").changed_at is None


@pytest.mark.usefixtures("_limits")
def test_control_characters_of_keys_and_reasons_are_escaped(capsys: Any) -> None:
    run_command("set", "crm", "--concurrency", "4", "--reason", "red \x1b[31m alert")

    assert "red \\x1b[31m alert" in run_command("show", "crm")
