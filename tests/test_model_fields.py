"""The tables as a project's own code uses them: dumps, queries and forms."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.contrib.admin import ModelAdmin, site
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection
from django.db.models import Avg, Count, F, Max, Min
from django.db.models.functions import Now, TruncMonth
from django.utils import timezone

from offload.lifecycle import JobState
from offload.models import Attempt, Job, Worker
from tests import tasks
from tests.jobs import move_to_state

MODELS = (Job, Attempt, Worker)
EXACT = datetime(2026, 1, 1, 3, 4, 5, 123456, tzinfo=UTC)
ZONE = UTC if connection.vendor == "mysql" else timezone.get_default_timezone()
"""America/Chicago, where EXACT lies in the year before; our MariaDB has no time zones."""
LOCAL = EXACT.astimezone(ZONE)


@pytest.fixture(autouse=True)
def _zone() -> Iterator[None]:
    with timezone.override(ZONE):
        yield


def rows(using: str = "default") -> list[Any]:
    return [list(model.objects.using(using).order_by("pk").values()) for model in MODELS]


def add_rows() -> list[Any]:
    """Add a waiting, a scheduled and a failed job, with an attempt and a worker; return all."""
    move_to_state(tasks.add.enqueue(1, 2), JobState.FAILED)
    Attempt.objects.update(traceback="ValueError: no")  # Django's XML loader strips line ends
    tasks.add.using(run_after=timedelta(days=1)).enqueue(3, 4)
    tasks.add.enqueue("Łódź", "日本 🎉")
    return rows()


def add_finished_job(finished_at: datetime = EXACT) -> Job:
    result = tasks.add.enqueue(1, 2)
    Job.objects.filter(pk=result.id).update(
        state=JobState.SUCCESSFUL,
        started_at=finished_at - timedelta(seconds=1.5),
        finished_at=finished_at,
    )
    return Job.objects.get(pk=result.id)


# --- dumps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "jsonl", "xml"])
@pytest.mark.django_db
def test_a_dump_of_jobs_can_be_loaded_and_loses_nothing(form: str, tmp_path: Path) -> None:
    before = add_rows()
    dump = str(tmp_path / f"dump.{form}")
    call_command("dumpdata", "offload", format=form, output=dump)
    for model in MODELS:
        model.objects.all().delete()
    call_command("loaddata", dump, verbosity=0)
    assert rows() == before


def test_a_dump_moves_jobs_to_sqlite_and_back(
    other_database: Any, tmp_path: Path, django_db_setup: None
) -> None:
    other_database("copy", ENGINE="django.db.backends.sqlite3", NAME="copy.db", migrated=True)
    there, back = str(tmp_path / "there.json"), str(tmp_path / "back.json")
    try:
        before = add_rows()
        call_command("dumpdata", "offload", output=there)
        call_command("loaddata", there, database="copy", verbosity=0)
        assert rows("copy") == before
        call_command("dumpdata", "offload", database="copy", output=back)
        for model in MODELS:
            model.objects.all().delete()
        call_command("loaddata", back, verbosity=0)
        assert rows() == before
    finally:
        for model in MODELS:
            model.objects.all().delete()


@pytest.mark.django_db
def test_jobs_survive_a_serialized_rollback() -> None:
    before = add_rows()
    saved = connection.creation.serialize_db_to_string()
    for model in MODELS:
        model.objects.all().delete()
    connection.creation.deserialize_db_from_string(saved)
    assert rows() == before


# --- queries ------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "condition",
    [
        {"finished_at": EXACT},
        {"finished_at": "2026-01-01T03:04:05.123456Z"},
        {"finished_at__gte": "2026-01-01T00:00Z"},
        {"finished_at__lt": "2026-01-01T03:04:05.123457+00:00"},
        {"finished_at__range": (EXACT, EXACT)},
        {"finished_at__in": [EXACT]},
        {"finished_at__isnull": False},
        {"finished_at__gt": F("started_at")},
        {"finished_at__date": LOCAL.date()},
        {"finished_at__date__gte": LOCAL.date()},
        {"finished_at__year": LOCAL.year},
        {"finished_at__year__lt": LOCAL.year + 1},
        {"finished_at__month": LOCAL.month},
        {"finished_at__hour": LOCAL.hour},
        {"finished_at__datetime": EXACT},
        {"finished_at__datetime__lt": Now()},
    ],
    ids=str,
)
def test_a_time_is_found_by_the_lookups_of_a_datetime(condition: dict[str, Any]) -> None:
    job = add_finished_job()
    add_finished_job(datetime(2024, 5, 6, tzinfo=UTC))
    negated = Job.objects.exclude(**condition)
    assert job in Job.objects.filter(**condition)
    assert job not in negated


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["2026-01-01", "2026-01-01 00:00", date(2026, 1, 1)])
def test_a_time_without_a_zone_is_local_and_warned_of(value: Any) -> None:
    midnight = datetime(2026, 1, 1, 6, tzinfo=UTC)
    job = add_finished_job(midnight)
    with pytest.warns(RuntimeWarning, match=r"Job\.finished_at received a naive datetime"):
        assert list(Job.objects.filter(finished_at=value)) == [job]


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["America/Chicago", "Asia/Tokyo"])
def test_times_without_zones_are_those_of_the_project(zone: str, settings: Any) -> None:
    timezone.deactivate()
    if connection.vendor != "sqlite":
        pytest.skip("connections to servers keep the time zone that they had at first")
    settings.USE_TZ = False
    settings.TIME_ZONE = zone
    naive = datetime.fromisoformat("2026-01-01 22:30")
    job = add_finished_job(naive)
    assert job.finished_at == naive
    with warnings.catch_warnings(action="error"):
        assert list(Job.objects.filter(finished_at__date=date(2026, 1, 1))) == [job]
        assert list(Job.objects.filter(finished_at="2026-01-01 22:30")) == [job]


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["soon", "2026", "2026-13-01"])
def test_a_text_that_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        Job.objects.filter(finished_at__gte=value)


@pytest.mark.django_db
def test_times_are_read_ordered_and_aggregated_as_datetimes() -> None:
    later, earlier = add_finished_job(), add_finished_job(EXACT - timedelta(days=400))
    times = Job.objects.order_by("finished_at").values_list("finished_at", flat=True)
    assert list(times) == [earlier.finished_at, later.finished_at]
    extremes = Job.objects.aggregate(first=Min("finished_at"), last=Max("finished_at"))
    assert extremes == {"first": earlier.finished_at, "last": EXACT}
    assert later.get_next_by_enqueued_at() == earlier
    assert Job.objects.latest("finished_at") == later


@pytest.mark.django_db
def test_times_are_grouped_and_subtracted_as_datetimes() -> None:
    add_finished_job()
    add_finished_job(EXACT + timedelta(seconds=1))
    months = (
        Job.objects.annotate(month=TruncMonth("finished_at__datetime"))
        .values("month")
        .annotate(number=Count("pk"))
    )
    assert [row["number"] for row in months] == [2]
    days = Job.objects.values("finished_at__date").annotate(number=Count("pk"))
    assert list(days) == [{"finished_at__date": LOCAL.date(), "number": 2}]
    duration = F("finished_at__datetime") - F("started_at__datetime")
    assert Job.objects.aggregate(mean=Avg(duration)) == {"mean": timedelta(seconds=1.5)}


# --- forms and validation -------------------------------------------------------------------------


class JobForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Job
        fields = ("finished_at", "run_after")


@pytest.mark.django_db
def test_a_job_of_the_backend_is_valid() -> None:
    add_rows()
    for model in MODELS:
        for row in model.objects.all():
            row.full_clean()


@pytest.mark.django_db
def test_a_form_of_jobs_shows_and_takes_datetimes() -> None:
    job = add_finished_job()
    form = JobForm(instance=job)
    assert isinstance(form.fields["finished_at"], forms.DateTimeField)
    assert f'value="{LOCAL:%Y-%m-%d %H:%M:%S}"' in str(form["finished_at"])
    shown = {name: form[name].value().strftime("%Y-%m-%d %H:%M:%S") for name in form.fields}
    assert not JobForm(shown, instance=job).has_changed()
    changed = JobForm({**shown, "finished_at": "2026-01-02 12:00"}, instance=job)
    assert changed.changed_data == ["finished_at"]
    changed.save()
    job.refresh_from_db()
    assert job.finished_at == datetime(2026, 1, 2, 12, tzinfo=ZONE)


@pytest.mark.django_db
def test_the_admin_shows_and_takes_datetimes() -> None:
    job = add_finished_job()
    form_class = ModelAdmin(Job, site).get_form(None, fields=["finished_at"])  # type: ignore[arg-type]
    form = form_class(instance=job)
    assert isinstance(form.fields["finished_at"], forms.SplitDateTimeField)
    shown = form.fields["finished_at"].widget.decompress(form["finished_at"].value())
    assert shown == [LOCAL.date(), LOCAL.time().replace(microsecond=0)]
    data = {"finished_at_0": f"{LOCAL:%Y-%m-%d}", "finished_at_1": f"{LOCAL:%H:%M:%S}"}
    assert not form_class(data, instance=job).has_changed()
