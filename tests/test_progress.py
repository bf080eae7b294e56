"""Progress: as stored, when it is read, and as shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.utils.translation import gettext_lazy, override

from offload import progress
from offload.progress import (
    MAX_NUMBER,
    MIN_READ_INTERVAL,
    READ_INTERVAL,
    Progress,
    ProgressReporter,
    Step,
    validate_progress,
    validate_step,
)

NAN, INFINITY = float("nan"), float("inf")


class Recorder:
    """A reporter, and the number of changes that it announced."""

    def __init__(self) -> None:
        self.announced = 0
        self.reporter = ProgressReporter(("id", 1), self._record)

    def report(
        self, done: Any = None, total: Any = None, message: Any = "", step: Any = None
    ) -> None:
        current_step = None if step is None else validate_step(step)
        self.reporter.latest = (*validate_progress(done, total, message), current_step)
        if not self.reporter.is_changed:
            self.reporter.publish()

    def stored(self, *report: Any) -> dict[str, Any]:
        self.report(*report)
        values: dict[str, Any] = json.loads(self.reporter.read(0.0))
        assert values.pop("updated_at").endswith("Z")
        return values

    def _record(self, reporter: ProgressReporter) -> None:
        assert reporter is self.reporter
        self.announced += 1


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


# --- as stored ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "stored"),
    [
        ((), {}),
        ((3, 10), {"done": 3, "total": 10}),
        ((0, 0), {"done": 0, "total": 0}),
        ((2.5, 10), {"done": 2.5, "total": 10}),
        ((True, 10), {"done": 1, "total": 10}),
        ((Decimal("2.5"), Fraction(5, 2)), {"done": 2.5, "total": 2.5}),
        ((None, 10), {"total": 10}),
        ((7,), {"done": 7}),
        # impossible values
        ((-3, 10), {"done": 0, "total": 10}),
        ((12, 10), {"done": 10, "total": 10}),
        ((3, -10), {"done": 0, "total": 0}),
        ((NAN, NAN), {}),
        ((INFINITY, 10), {"total": 10}),
        ((3, INFINITY), {"done": 3}),
        ((Decimal("sNaN"), Fraction(10**400)), {}),
        ((10**400, 10**401), {"done": MAX_NUMBER, "total": MAX_NUMBER}),
    ],
)
def test_impossible_numbers_are_corrected(recorder: Recorder, report, stored):
    assert recorder.stored(*report) == stored


@pytest.mark.parametrize(
    ("message", "stored"),
    [
        ("Größe 7 → 8 <b>", "Größe 7 → 8 <b>"),
        ("a\0b\r\nc\td\x1b[31m\x85e\u2028f", "a b c d [31m e f"),
        ("a\ud800b", "a b"),
        ("  padded  ", "padded"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ("x" * 1_000_000, "x" * 199 + "…"),
        (" \n ", None),
    ],
)
def test_a_message_is_one_short_line(recorder: Recorder, message, stored):
    assert recorder.stored(None, None, message).get("message") == stored


def test_a_lazy_message_is_in_the_language_of_the_task(recorder: Recorder):
    with override("de"):
        recorder.report(None, None, gettext_lazy("Yes"))

    assert json.loads(recorder.reporter.read(0.0))["message"] == "Ja"


@pytest.mark.parametrize(
    ("step", "stored"),
    [
        ((2, 3, "Import"), {"number": 2, "of": 3, "name": "Import"}),
        (Step(2, name="Im\nport"), {"number": 2, "of": None, "name": "Im port"}),
        ((2, 3), {"number": 2, "of": 3, "name": ""}),
        ((4, 3, "x" * 101), {"number": 3, "of": 3, "name": "x" * 99 + "…"}),
        ((-1,), {"number": 0, "of": None, "name": ""}),
    ],
)
def test_steps(recorder: Recorder, step, stored):
    assert recorder.stored(None, None, "", step) == {"step": stored}


@pytest.mark.parametrize(
    "report",
    [
        {"done": "3"},
        {"done": [3]},
        {"done": 3j},
        {"total": b"10"},
        {"message": None},
        {"message": 3},
        {"message": b"Reading"},
        {"step": 2},
        {"step": ()},
        {"step": "Import"},
        {"step": [2, 3, "Import"]},
        {"step": (2, 3, "Import", 4)},
        {"step": ("2", 3, "Import")},
        {"step": (2, 3.5, "Import")},
        {"step": (2, 3, ["Import"])},
        {"step": (2, 3, None)},
    ],
    ids=str,
)
def test_misuse_raises_a_type_error_with_argument_and_value(report):
    ((name, value),) = report.items()

    with pytest.raises(TypeError, match=rf"^progress\(\) takes {name} as ") as caught:
        progress(**report)

    assert repr(value) in str(caught.value)


# --- when it is read ----------------------------------------------------------------------


def test_a_change_is_announced_once_until_it_is_read(recorder: Recorder):
    for done in range(10):
        recorder.report(done, 10)
    assert recorder.announced == 1

    assert json.loads(recorder.reporter.read(0.0))["done"] == 9
    recorder.report(10, 10)

    assert recorder.announced == 2


@pytest.mark.parametrize(
    ("report", "pause"),
    [
        ((101, 10_000), READ_INTERVAL),
        ((199, 10_000), READ_INTERVAL),
        ((200, 10_000), MIN_READ_INTERVAL),
        ((0, 10_000), MIN_READ_INTERVAL),
        ((100, 20_000), MIN_READ_INTERVAL),
        ((None, 10_000), MIN_READ_INTERVAL),
        ((100, 10_000, "another message"), READ_INTERVAL),
        ((100, 10_000, "", (2, 3)), MIN_READ_INTERVAL),
        ((100, None), MIN_READ_INTERVAL),
        ((10**400, 10_000), MIN_READ_INTERVAL),
        ((NAN, 10_000), MIN_READ_INTERVAL),
    ],
)
def test_a_read_is_due_after_half_a_second_or_earlier_after_a_hundredth(
    recorder: Recorder, report, pause
):
    recorder.report(100, 10_000)
    assert recorder.reporter.is_due(0.0)
    recorder.reporter.read(0.0)

    recorder.report(*report)

    assert not recorder.reporter.is_due(pause - 0.01)
    assert recorder.reporter.is_due(pause + 0.01)


def test_the_last_report_is_due_at_once_and_later_ones_are_ignored(recorder: Recorder):
    recorder.reporter.read(0.0)
    recorder.report(1, 1_000_000)
    assert not recorder.reporter.is_due(0.01)

    recorder.reporter.close()
    assert recorder.reporter.is_due(0.01)
    recorder.reporter.read(0.01)
    recorder.report(2, 1_000_000)

    assert recorder.announced == 1


# --- as shown -----------------------------------------------------------------------------


def test_stored_progress_can_be_read(recorder: Recorder):
    recorder.report(3, 8, "Reading", (2, 3, "Import"))

    progress = Progress.from_json(recorder.reporter.read(0.0))

    assert progress is not None
    assert (progress.done, progress.total, progress.percent) == (3, 8, 37.5)
    assert (progress.message, progress.step) == ("Reading", (2, 3, "Import"))
    assert progress.step is not None
    assert progress.step.name == "Import"
    assert abs(datetime.now(UTC) - progress.updated_at) < timedelta(minutes=1)


@pytest.mark.parametrize("report", [(), (3,), (None, 10), (0, 0)])
def test_without_a_total_there_is_no_percentage(recorder: Recorder, report):
    recorder.report(*report)

    progress = Progress.from_json(recorder.reporter.read(0.0))

    assert progress is not None
    assert progress.percent is None


@pytest.mark.parametrize(
    "text", [None, "", "null", "{", "[1]", "7", "{}", '{"updated_at": "soon"}', '{"step": 3}']
)
def test_a_damaged_row_shows_no_progress(text):
    assert Progress.from_json(text) is None
