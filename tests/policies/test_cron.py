"""Cron expressions match when they should, also around changes of the clock."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.policies.cron import MAX_EXPRESSION_LENGTH, Cron
from tests.policies.clock_changes import EXPRESSIONS, WITH_SECONDS, ZONES, changes, expected

YEARS = range(2026, 2027)
BEFORE, AFTER = timedelta(hours=4), timedelta(hours=24)
CASES = [(zone, change) for zone in ZONES for change in changes(zone, YEARS)]


def found(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    cron = Cron(expression, zone)
    matches = []
    moment = cron.next_after(start)
    while moment is not None and moment <= end:
        matches.append(moment)
        moment = cron.next_after(moment)
    return matches


@pytest.mark.parametrize(("zone", "change"), CASES)
def test_each_minute_around_a_change_of_the_clock_is_right(zone: str, change: datetime) -> None:
    start, end = change - BEFORE, change + AFTER

    for expression in EXPRESSIONS:
        right = expected(expression, zone, start, end)
        assert found(expression, zone, start, end) == right, expression


@pytest.mark.parametrize(("zone", "change"), CASES)
def test_so_is_each_second(zone: str, change: datetime) -> None:
    start, end = change - timedelta(minutes=65), change + timedelta(minutes=65)

    for expression in WITH_SECONDS:
        right = expected(expression, zone, start, end)
        assert found(expression, zone, start, end) == right, expression


def test_the_next_match_is_always_later_than_the_start() -> None:
    numbers = random.Random(7)
    for zone, change in CASES:
        for _ in range(40):
            start = change + timedelta(seconds=numbers.uniform(-7200, 7200))
            expression = numbers.choice(EXPRESSIONS)
            match = Cron(expression, zone).next_after(start)
            assert match is not None
            assert match > start, (expression, zone, start)


@pytest.mark.parametrize(
    ("expression", "start", "match"),
    [
        ("0 12 L * *", "2026-02-10 00:00", "2026-02-28 12:00"),
        ("0 12 LW * *", "2026-02-10 00:00", "2026-02-27 12:00"),
        ("0 12 * * 5L", "2026-02-10 00:00", "2026-02-27 12:00"),
        ("0 9 * * MON#1", "2026-02-10 00:00", "2026-03-02 09:00"),
        ("0 9 * jan-mar/2 mon", "2026-01-30 00:00", "2026-03-02 09:00"),
        ("0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"),
        ("@weekly", "2026-02-10 00:00", "2026-02-15 00:00"),
        ("@Daily", "2026-02-10 00:00", "2026-02-11 00:00"),
        ("  0   12 * * *  ", "2026-02-10 12:00", "2026-02-11 12:00"),
        ("30 0 12 * * *", "2026-02-10 12:00", "2026-02-10 12:00:30"),
    ],
)
def test_the_calendar_has_names_steps_and_last_days(
    expression: str, start: str, match: str
) -> None:
    def utc(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert Cron(expression, "UTC").next_after(utc(start)) == utc(match)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("61 * * * *", "its minute is not valid"),
        ("0 0 * * FRY", "its day of the week is not valid"),
        ("0 0 32 * *", "its day of the month is not valid"),
        ("* * * *", "another number of fields"),
        ("0 0 31 4,6 *", "never matches: none of its months has that day"),
        ("0 9 31 2 *", "'0 9 31 2 \\*' never matches: none of its months has that day"),
        ("30 0 9 31 FEB *", "never matches: none of its months has that day"),
        ("0 0 32 2 *", "its day of the month is not valid"),
        ("0 0 31 13 *", "its month is not valid"),
        ("0 0 */31 2 MON#5", "never matches"),
        ("@fortnightly", "There is no shorthand '@fortnightly'. Choices are: @hourly"),
        ("", "must be text such as '0 3"),
        ("0 " * MAX_EXPRESSION_LENGTH, "is longer than 200 characters"),
    ],
)
def test_an_expression_that_matches_nothing_is_refused(expression: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Cron(expression, "UTC")


@pytest.mark.parametrize("zone", ["Europe/Berln", "", "../etc/passwd", "/etc/passwd", None])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="There is no time zone"):
        Cron("@daily", zone)


@given(st.text(alphabet="0123456789*/,-#LWMONJA@ ", max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    start = datetime(2026, 3, 29, tzinfo=UTC)
    try:
        cron = Cron(text, "Europe/Berlin")
    except ValueError:
        return
    match = cron.next_after(start)
    assert match is None or match > start


def test_an_expression_is_shown_in_english() -> None:
    assert Cron("0 3 * * *", "UTC").in_english() == "At 03:00 every day"
    assert Cron("@hourly", "UTC").in_english() == "At the start of every hour"
