"""What schedules mean, in the reader's language."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.test import modify_settings
from django.utils import translation

from offload import schedules
from offload.models import Schedule
from offload.schedules import words
from offload.schedules.words import cron_in_words, interval_in_words
from tests.schedules import tasks

with modify_settings(INSTALLED_APPS={"append": "django.contrib.admin"}):
    from offload.admin import ScheduleAdmin

ENGLISH = "At 09:00 on the first Monday of the month"
GERMAN = "Um 09:00, am ersten Montag des Monats"
FRENCH = "À 09:00, le premier lundi du mois"


@pytest.fixture
def _library() -> None:
    pytest.importorskip("cron_descriptor", reason="the extra `words` is not installed")


@pytest.fixture
def _no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_library", lambda: None)


def said(expression: str, language: str | None) -> str:
    with translation.override(language):
        return cron_in_words(expression, "UTC")


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", ENGLISH),
        ("en-gb", ENGLISH),
        (None, ENGLISH),
        ("de", GERMAN),
        ("de-at", GERMAN),
        ("fr", FRENCH),
        ("eo", ENGLISH),  # the library does not have it
        ("zh-hant", ENGLISH),  # it has two Chinese ones, by country
    ],
)
def test_an_expression_is_in_the_readers_language(language: str | None, text: str) -> None:
    assert said("0 9 * * MON#1", language) == text


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("30 0 3 * * *", "Um 03:00:30"),
        ("*/15 * * * * *", "Alle 15 Sekunden"),
        ("*/10 * * * *", "Alle 10 Minuten"),
        ("0 */2 * * *", "Alle 2 Stunden"),
        ("*/20 8-18 * * mon-fri", "Alle 20 Minuten, zwischen 08:00 und 18:59, Montag bis Freitag"),
        ("0 8 * * 7", "Um 08:00, nur am Sonntag"),
        ("0 0 * * 5L", "Um 00:00, am letzten Freitag des Monats"),
        ("0 0 LW * *", "Um 00:00, am letzten Werktag des Monats"),
        ("0 0 1 may,oct *", "Um 00:00, am 1 Tag des Monats, nur im Mai und Oktober"),
        ("@hourly", "Jede Stunde"),
    ],
)
def test_each_part_of_an_expression_is_translated(expression: str, text: str) -> None:
    assert said(expression, "de") == text


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize(
    "expression",
    [
        "*/7 * * * *",  # "every 7 minutes", though 4 minutes lie between :56 and :00
        "0 */5 * * *",
        "0 0 */2 * 1",  # "or on Monday", though both must match
        "0 0 1,15 * MON-FRI",  # does not tell that one of them is enough
        "0 0 * * 1#1,3#2",  # leaves out the numbers
        "0 0 1,L * *",
        "0 0 * * 1-5/2",  # is not translated
        "0-10/5,30 * * * *",
    ],
)
def test_what_the_library_describes_wrongly_is_in_english(expression: str) -> None:
    assert said(expression, "de") == said(expression, "en")


@pytest.mark.usefixtures("_no_library")
def test_without_the_library_all_expressions_are_in_english() -> None:
    assert said("0 9 * * MON#1", "de") == ENGLISH


def test_a_broken_expression_is_an_error_in_all_languages() -> None:
    with pytest.raises(ValueError, match="its minute is not valid"):
        said("61 * * * *", "de")


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [
        (1, "Every second", "Jede Sekunde"),
        (1.5, "Every 1.5 seconds", "Alle 1.5 Sekunden"),
        (90, "Every 90 seconds", "Alle 90 Sekunden"),
        (300, "Every 5 minutes", "Alle 5 Minuten"),
        (3600, "Every hour", "Jede Stunde"),
        (172800, "Every 2 days", "Alle 2 Tage"),
    ],
)
def test_an_interval_has_its_largest_unit(seconds: float, english: str, german: str) -> None:
    found = []
    for language in ("en", "de"):
        with translation.override(language):
            found.append(interval_in_words(int(seconds * 1_000_000)))

    assert found == [english, german]


@pytest.mark.django_db
def test_a_schedule_has_words_in_the_active_language_and_one_technical_name() -> None:
    made = schedules.create("often", tasks.note, every=300)

    with translation.override("de"):
        assert (made.in_words, made.when) == ("Alle 5 Minuten", "every 5 minutes")


@pytest.mark.usefixtures("_library")
def test_the_preview_of_the_admin_is_in_the_readers_language(rf: Any) -> None:
    request = rf.get("/", {"cron": "0 9 * * MON#1", "timezone": "UTC"})
    request.user = User(username="ada", is_staff=True, is_superuser=True)

    with translation.override("de"):
        response = ScheduleAdmin(Schedule, AdminSite()).preview_view(request)

    assert json.loads(response.content)["words"] == GERMAN
