"""What the command says about settings, tasks and schedules, as text and as JSON."""

from __future__ import annotations

import sys
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from offload import schedules
from offload.from_celery import celery_app, opening
from offload.from_celery.known_settings import KNOWN, meaning_of
from offload.from_celery.settings import without_password
from offload.models import Schedule
from tests.celery_tables import IntervalSchedule, PeriodicTask
from tests.from_celery.brokers import PATH
from tests.from_celery.conftest import Run
from tests.from_celery.tasks import OLD

pytestmark = pytest.mark.django_db


def items(report: dict[str, Any], section: str) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in report[section]["items"]}


def text_of(*args: str) -> str:
    output = StringIO()
    call_command("offload_from_celery", *args, stdout=output)
    return output.getvalue()


# --- settings -----------------------------------------------------------------------------


def test_each_setting_of_celery_is_known() -> None:
    from celery.app.defaults import DEFAULTS  # noqa: PLC0415

    unknown = [name for name in DEFAULTS if "has no setting" in meaning_of(name, None).by_hand]

    assert unknown == []


def test_each_setting_that_is_read_is_one_that_offload_celery_reads() -> None:
    from offload.celery.settings import DEFAULTS  # noqa: PLC0415

    read = {name for name in KNOWN if meaning_of(name, None).becomes.startswith("read by")}

    assert read - {"task_acks_late"} <= DEFAULTS.keys()


@pytest.mark.parametrize(
    ("name", "value", "becomes"),
    [
        ("worker_concurrency", 8, "offload_worker --processes 8"),
        ("worker_max_memory_per_child", 204_800, "OPTIONS['max_memory_per_child'] = 200"),
        ("worker_max_tasks_per_child", 50, "OPTIONS['max_jobs_per_child'] = 50"),
        ("result_expires", timedelta(hours=1), "= timedelta(seconds=3600)"),
        ("result_expires", None, "= None"),
        ("task_queues", {"mail": {}, "slow": {}}, "['QUEUES'] = ['mail', 'slow']"),
        ("task_serializer", "json", "JSON, as before"),
        ("task_acks_late", False, "a job whose process died does not run again"),
        ("beat_scheduler", "django_celery_beat.schedulers:DatabaseScheduler", "made of the rows"),
        ("redis_max_connections", 5, "results are kept with the jobs"),
    ],
)
def test_a_setting_becomes(name: str, value: Any, becomes: str) -> None:
    assert becomes in meaning_of(name, value).becomes


def test_a_misspelt_setting_is_named_with_the_right_one(run: Run, settings) -> None:
    settings.CELERY_TASK_RUOTES = {}

    item = items(run(), "settings")["CELERY_TASK_RUOTES = {}"]

    assert "Did you mean 'task_routes'?" in item["by_hand"]


def test_pickle_is_named(run: Run, settings) -> None:
    settings.CELERY_ACCEPT_CONTENT = ["json", "pickle"]

    [item] = [item for name, item in items(run(), "settings").items() if "ACCEPT" in name]

    assert "pickle is not read" in item["by_hand"]


def test_passwords_are_not_shown(run: Run, settings) -> None:
    settings.CELERY_RESULT_BACKEND = "redis://ann:secret@example.com/0"
    settings.CELERY_SECURITY_KEY_PASSWORD = b"secret"
    settings.CELERY_BROKER_URL = "amqp://:secret@127.0.0.1:9//"

    assert "secret" not in str(run())
    assert without_password("redis://:secret@host/0") == "redis://:***@host/0"


def test_settings_of_old_names_are_read(run: Run, settings) -> None:
    settings.CELERYD_CONCURRENCY = 3

    assert items(run(), "settings")["CELERYD_CONCURRENCY = 3"]["becomes"].startswith(
        "offload_worker --processes 3"
    )


# --- tasks --------------------------------------------------------------------------------


def test_tasks_of_an_app_of_celery_are_read_with_their_options(run: Run) -> None:
    report = run("--app", "tests.from_celery.old_app")

    item = items(report, "tasks")[OLD]
    assert item["becomes"] == "the same, with queue, rate_limit"
    assert item["lost"] == "routing_key: name the queue by queue="
    assert "Change its import to offload.celery." in item["by_hand"]
    assert "List its queue 'reports' in QUEUES of TASKS." in item["by_hand"]
    assert "in place of serializer='pickle'" in item["by_hand"]
    assert items(report, "tasks")[f"{PATH}.add"]["becomes"].endswith("already")
    assert "app.conf.task_acks_late = True" in items(report, "settings")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("shop.missing", "--app 'shop.missing' cannot be imported: No module named 'shop"),
        ("tests.from_celery.tasks", "--app 'tests.from_celery.tasks' names no app of Celery"),
        ("tests.from_celery.old_app:later", "names no app of Celery"),
    ],
)
def test_an_app_that_is_none_is_refused(run: Run, path: str, text: str) -> None:
    with pytest.raises(CommandError) as caught:
        run("--app", path)

    assert text in str(caught.value)


def test_without_celery_it_says_what_it_cannot_read(run: Run, settings, monkeypatch) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/0"
    settings.CELERY_WORKER_CONCURRENCY = 2
    PeriodicTask.objects.create(
        name="weekly",
        task=f"{PATH}.digest",
        interval=IntervalSchedule.objects.create(every=1, period="days"),
    )
    monkeypatch.delitem(sys.modules, "celery")
    monkeypatch.setattr(celery_app, "find_spec", lambda _: None)
    monkeypatch.setattr(opening, "import_module", missing)

    report = run("--write")

    assert report["tasks"]["not_read"] == [
        "Tasks that are still Celery's, as Celery is not installed."
    ]
    left = items(report, "messages")["all queues"]["by_hand"]
    assert "cannot be read: No module named 'kombu'" in left
    assert "CELERY_WORKER_CONCURRENCY = 2" in items(report, "settings")
    assert schedules.get("weekly").state == "active"
    assert report["code"] == 1


def missing(name: str) -> None:
    raise ModuleNotFoundError(f"No module named {name!r}")


# --- schedules ----------------------------------------------------------------------------


def test_entries_of_the_settings_are_schedules_of_the_code(run: Run, settings) -> None:
    settings.CELERY_BEAT_SCHEDULE = {
        "often": {"task": f"{PATH}.digest", "schedule": 90},
        "broken": {"task": "shop.tasks.gone", "schedule": 90},
    }

    report = run("--write")

    found = items(report, "schedules")
    assert found["often"]["becomes"] == "a schedule of the code: every 90 seconds (UTC)"
    assert "There is no task 'shop.tasks.gone'" in found["broken"]["by_hand"]
    assert report["code"] == 1
    assert schedules.get("often").row.source == "code"


def test_a_dry_run_writes_no_schedules(run: Run, settings) -> None:
    settings.CELERY_BEAT_SCHEDULE = {"often": {"task": f"{PATH}.digest", "schedule": 90}}

    run()

    assert not Schedule.objects.exists()


def test_an_entry_of_the_settings_whose_task_is_celerys_moves_with_its_task(
    run: Run, settings
) -> None:
    settings.CELERY_BEAT_SCHEDULE = {"hourly": {"task": OLD, "schedule": 3600}}

    item = items(run("--app", "tests.from_celery.old_app"), "schedules")["hourly"]

    assert f"It moves with its task '{OLD}'" in item["by_hand"]
    assert not item["is_left"]


def test_an_entry_of_an_app_of_celery_moves_with_its_task(run: Run) -> None:
    item = items(run("--app", "tests.from_celery.old_app"), "schedules")["hourly"]

    assert item["becomes"] == "a schedule of the code: every hour"
    assert f"It moves with its task '{OLD}'" in item["by_hand"]
    assert not item["is_left"]


# --- text ---------------------------------------------------------------------------------


def test_the_text_has_a_line_for_each_thing_and_what_to_do(settings) -> None:
    settings.CELERY_TASK_SERIALIZER = "pickle"

    text = text_of()

    assert "\n  CELERY_TASK_SERIALIZER = 'pickle'" in f"\n{text}"
    assert "\n      by hand: Pass only what JSON carries" in text
    assert "  Not read: No setting names a broker." in text
    assert text.rstrip().endswith("--write makes the schedules and the jobs.")


def test_the_end_of_the_text_says_whether_something_is_left(settings) -> None:
    assert text_of("--write").rstrip().endswith("Written. Nothing is left.")

    settings.CELERY_BROKER_URL = "sqs://"

    assert "It would leave 1 of the above." in text_of()


def test_control_characters_are_escaped() -> None:
    PeriodicTask.objects.create(name="a\x1b[2Jb", task="shop.tasks.gone")

    assert "\x1b" not in text_of()
