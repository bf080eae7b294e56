"""Schedules in the admin: the form, who may do what, and what is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.contrib.admin import AdminSite
from django.contrib.admin.utils import label_for_field
from django.contrib.auth.models import User
from django.contrib.messages.storage.cookie import CookieStorage
from django.http import HttpRequest
from django.test import RequestFactory, modify_settings
from django.utils import timezone, translation

from offload import InvalidSchedule, schedules, task
from offload.models import Job, Schedule
from offload.store import get_store
from offload.tasks import schedulable_tasks
from tests.schedules import tasks
from tests.schedules.factories import fire, make, make_due

# The tests' own settings do without the admin, which workers would load each time.
with modify_settings(INSTALLED_APPS={"append": "django.contrib.admin"}):
    from offload.admin import COLUMNS, PauseForm, ScheduleAdmin, ScheduleForm, SourceFilter

pytestmark = pytest.mark.django_db

DATA = {
    "name": "weekly",
    "task": tasks.note.module_path,
    "kwargs": '{"text": "a"}',
    "cron": "0 8 * * MON",
    "timezone": "Europe/Berlin",
    "catch_up": "once",
    "overlap": "skip",
}
SETTINGS = """
INSTALLED_APPS = [
    "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin", "offload", "shop"
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
TASKS = {"default": {"BACKEND": "offload.backends.database.DatabaseBackend"}}
"""
TASKS = """
from offload import task


@task(schedulable=True)
def import_feed(): ...
"""
OFFERED = """
import django
django.setup()
from offload.admin import ScheduleForm
print(*(path for path, _ in ScheduleForm().fields["task"].choices))
"""


class Arguments(forms.Form):
    """The arguments of a task."""

    text = forms.CharField(max_length=3)


@task(schedulable=Arguments)
def with_form(text: str) -> None:
    """Has a form for its arguments."""


@pytest.fixture
def model_admin() -> ScheduleAdmin:
    return ScheduleAdmin(Schedule, AdminSite())


@pytest.fixture
def request_(rf: RequestFactory) -> HttpRequest:
    return make_request(rf.get("/"), is_superuser=True)


def make_request(request: Any, **user: Any) -> HttpRequest:
    request.user = User(username="ada", is_staff=True, is_active=True, **user)
    request._messages = CookieStorage(request)
    made: HttpRequest = request
    return made


def errors(**data: Any) -> dict[str, Any]:
    form = ScheduleForm(data={**DATA, **data})
    assert not form.is_valid()
    return dict(form.errors)


def save(model_admin: ScheduleAdmin, request: HttpRequest, *, change: bool = False) -> Schedule:
    row = Schedule.objects.get() if change else Schedule()
    data = {**DATA, "cron": "", "every": "0:05:00"} if change else DATA
    form = ScheduleForm(data=data, instance=row)
    assert form.is_valid(), form.errors
    model_admin.save_model(request, row, form, change)
    return Schedule.objects.get(pk=row.pk)


def test_a_form_makes_a_schedule(model_admin: ScheduleAdmin, request_: HttpRequest) -> None:
    row = save(model_admin, request_)

    assert (row.name, row.cron, row.timezone) == ("weekly", "0 8 * * MON", "Europe/Berlin")
    assert (row.source, row.arguments) == ("admin", '[[],{"text":"a"}]')


def test_a_form_changes_a_schedule(model_admin: ScheduleAdmin, request_: HttpRequest) -> None:
    save(model_admin, request_)

    row = save(model_admin, request_, change=True)

    assert (row.cron, row.every) == ("", 300_000_000)


def test_a_form_shows_what_a_schedule_has() -> None:
    made = make(kwargs={"text": "a"}, jitter=20, deadline=60)
    initial = ScheduleForm(instance=made.row).initial

    assert initial["every"] == timedelta(hours=1)
    assert (initial["args"], initial["kwargs"]) == (None, {"text": "a"})
    assert (initial["jitter"], initial["deadline"]) == (20, 60)


def test_only_schedulable_tasks_can_be_chosen() -> None:
    choices = [path for path, _ in ScheduleForm().fields["task"].choices]  # type: ignore[attr-defined]

    assert choices == sorted(schedulable_tasks)
    assert tasks.note.module_path in choices
    assert "task" in errors(task=tasks.not_schedulable.module_path)


def test_a_process_that_has_imported_no_task_offers_all_of_them(tmp_path: Path) -> None:
    files = {"settings.py": SETTINGS, "shop/__init__.py": "", "shop/tasks.py": TASKS}
    for name, code in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)

    output = subprocess.check_output(
        [sys.executable, "-c", OFFERED],
        env={"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(tmp_path)},
        text=True,
    )

    ready_made = ["back_up", "clear_sessions", "prune_jobs", "run_command"]
    assert output.split() == [
        *(f"offload.maintenance.{name}" for name in ready_made),
        "shop.tasks.import_feed",
    ]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("cron", "61 * * * *", "its minute is not valid"),
        ("cron", "", "needs a cron expression"),
        ("every", "0:01:00", ""),
        ("timezone", "Mars", "There is no time zone"),
        ("kwargs", "{", "valid JSON"),
        ("name", "a:b", "without a colon"),
        ("jitter", "1000000", "shorter than"),
        ("catch_up", "all", ""),
    ],
)
def test_an_error_is_shown_at_its_field(field: str, value: str, words: str) -> None:
    found = errors(**{field: value})

    place = {"every": "cron", "catch_up": "overlap"}.get(field, field)
    assert words in str(found[place])


def test_arguments_that_the_task_does_not_take_are_an_error() -> None:
    assert "unexpected keyword argument" in str(errors(kwargs='{"txt": 1}'))


def test_the_form_of_a_task_refuses_its_arguments() -> None:
    path = with_form.module_path

    assert "at most 3 characters" in str(errors(task=path, kwargs='{"text": "long"}')["kwargs"])
    with pytest.raises(InvalidSchedule, match="at most 3 characters"):
        schedules.create("a", with_form, "@daily", kwargs={"text": "long"})
    with pytest.raises(InvalidSchedule, match="at most 3 characters"):
        schedules.create("a", with_form, "@daily", args=["long"])
    assert schedules.create("a", with_form, "@daily", args=["abc"])


def test_a_name_that_is_used_is_an_error_of_its_field() -> None:
    make("weekly")

    assert "already. Choose another name" in str(errors()["name"])


def test_one_of_the_code_is_shown_and_not_changed_here(
    model_admin: ScheduleAdmin, request_: HttpRequest
) -> None:
    row = make().row
    assert model_admin.has_change_permission(request_, row)
    assert model_admin.has_delete_permission(request_, row)

    row.source = "code"
    assert not model_admin.has_change_permission(request_, row)
    assert not model_admin.has_delete_permission(request_, row)
    model_admin.get_form(request_, row, fields=None)
    assert model_admin.has_change_permission(request_)  # its actions

    row.retired_at = timezone.now()
    assert model_admin.has_delete_permission(request_, row)


def test_actions_need_the_permission_to_change(model_admin: ScheduleAdmin, rf: Any) -> None:
    request = make_request(rf.get("/"))
    request.user.save()

    assert model_admin.get_actions(request) == {}


def test_actions_pause_resume_and_run(
    model_admin: ScheduleAdmin, request_: HttpRequest, rf: RequestFactory
) -> None:
    make()
    rows = Schedule.objects.all()

    page: Any = model_admin.pause_selected(request_, rows)
    assert isinstance(page.context_data["form"], PauseForm)
    post = make_request(rf.post("/", {"reason": "bug 17"}), is_superuser=True)
    assert model_admin.pause_selected(post, rows) is None
    assert (rows.get().reason, rows.get().changed_by) == ("bug 17", "ada")
    assert "bug 17, ada" in model_admin.pause_shown(rows.get())

    model_admin.resume_selected(request_, rows)
    assert rows.get().paused_at is None
    model_admin.run_selected(request_, rows)
    assert Job.objects.get().schedule == "nightly"


def test_what_cannot_be_done_is_said(model_admin: ScheduleAdmin, request_: HttpRequest) -> None:
    make()
    Schedule.objects.update(source="code")

    model_admin.delete_queryset(request_, Schedule.objects.all())

    (message,) = request_._messages  # type: ignore[attr-defined]
    assert "is defined in the code" in str(message)
    assert Schedule.objects.exists()


def test_the_preview_has_words_and_five_ticks(model_admin: ScheduleAdmin, rf: Any) -> None:
    def preview(**query: str) -> Any:
        request = make_request(rf.get("/", query), is_superuser=True)
        return json.loads(model_admin.preview_view(request).content)

    found = preview(cron="0 8 * * MON", timezone="Europe/Berlin")
    assert found["words"] == "At 08:00 on Monday"
    assert len(found["ticks"]) == 5
    assert "its minute is not valid" in preview(cron="61 * * * *")["words"]
    assert preview() == {"words": "", "ticks": []}


def test_skipped_ticks_are_shown_with_their_reason(model_admin: ScheduleAdmin) -> None:
    make_due(ago=timedelta(hours=5))
    assert model_admin.skipped_shown(Schedule.objects.get()) == ""
    fire()

    shown = model_admin.skipped_shown(Schedule.objects.get())
    assert shown.startswith("5 (")
    assert "no worker ran" in shown


def test_options_that_are_only_shown_have_the_labels_and_words_of_the_form(
    model_admin: ScheduleAdmin,
) -> None:
    made = make(kwargs={"text": "é"}, overlap="wait", start=timezone.now(), timezone="Asia/Tokyo")
    shown = {
        label_for_field(name, Schedule, model_admin): getattr(model_admin, name)(made.row)
        for name in COLUMNS
        if name not in {"name", "preview", "when_shown"}
    }

    form = ScheduleForm()
    assert set(shown) <= {field.label for field in form.fields.values()}
    assert shown["Arguments by name"] == '{"text": "é"}'
    assert shown["Arguments"] == shown["Priority"] == shown["Delay of at most"] == "-"
    assert shown["If the last job has not finished"] == "run after it"
    assert shown["Start"].endswith(" JST")


def test_what_there_is_nothing_to_say_about_is_left_out(
    model_admin: ScheduleAdmin, request_: HttpRequest
) -> None:
    def fields() -> list[str]:
        (_, state), _ = model_admin.get_fieldsets(request_, Schedule.objects.get())
        return list(state["fields"])

    made = make()
    assert fields() == ["source_shown", "state_shown"]
    made.pause(reason="bug 17")
    assert fields() == ["source_shown", "state_shown", "pause_shown"]


def test_times_are_in_the_time_zone_of_the_schedule(model_admin: ScheduleAdmin) -> None:
    row = make(timezone="Asia/Tokyo").row

    assert " JST<" in model_admin.next_run_shown(row)
    row.last_tick_at = timezone.now()
    assert model_admin.last_tick_shown(row).endswith(" JST")
    row.last_tick_at = datetime(2026, 12, 2, tzinfo=UTC)
    with translation.override("de"):
        assert model_admin.last_tick_shown(row).startswith("Mi 2026-12-02 09:00:00")


def test_a_retired_schedule_says_why_it_does_not_tick(model_admin: ScheduleAdmin) -> None:
    make()
    Schedule.objects.update(source="code", retired_at=timezone.now())
    row = Schedule.objects.get()

    assert model_admin.state_shown(row) == "retired"
    assert model_admin.problem_shown(row) == "not in the code any more"
    assert model_admin.next_run_shown(row) == '<span class="nowrap">-</span>'


@pytest.mark.parametrize(
    ("source", "names"), [("code", ["a"]), ("admin", ["b"]), (None, ["a", "b"])]
)
def test_staff_choose_by_the_place_of_the_definition(
    model_admin: ScheduleAdmin, request_: HttpRequest, source: str | None, names: list[str]
) -> None:
    make("a")
    Schedule.objects.update(source="code")
    make("b")

    chosen = SourceFilter(
        request_, {"source": [source]} if source else {}, Schedule, model_admin
    ).queryset(request_, Schedule.objects.order_by("name"))

    assert [row.name for row in chosen] == names


def test_a_tick_that_waits_for_room_is_shown(model_admin: ScheduleAdmin) -> None:
    make_due()
    get_store("default").fire_schedules(lambda _backend, _queue: False)

    assert model_admin.state_shown(Schedule.objects.get()) == "waits: its queue is full"


def test_a_broken_row_can_be_shown(model_admin: ScheduleAdmin) -> None:
    row = make(cron="@daily", every=None).row
    row.cron, row.timezone, row.error = "61 * * * *", "Mars", "no time zone"

    assert "61 * * * *" in model_admin.when_shown(row)
    assert model_admin.problem_shown(row) == "no time zone"
    assert str(model_admin.state_shown(row)) == "broken"
