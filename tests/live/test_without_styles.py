"""Each state of the element reads right without its style sheet."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import RequestFactory

from offload.live.widget import MISSING_DOCUMENT, PLACEHOLDER_DOCUMENT, widget_context
from tests.live.visible_text import visible_text

LINKS = {"self": "/tasks/1/", "cancel": None, "result": None, "page": "/tasks/1/page/"}
PROGRESS = {"percent": 34.0, "message": "Counting rows", "step": None}
ERROR = {"title": "The task failed.", "detail": None, "reference": "1"}


def read(phase: str, **values: Any) -> str:
    """Return what the element says in a phase."""
    is_finished = phase not in {
        "scheduled",
        "queued",
        "limited",
        "running",
        "retrying",
        "cancelling",
    }
    document = {
        **PLACEHOLDER_DOCUMENT,
        "phase": phase,
        "title": "Count rows",
        "is_finished": is_finished,
        **values,
        "links": {**LINKS, **values.get("links", {})},
    }
    context = widget_context(RequestFactory().get("/"), document)
    return visible_text(render_to_string("offload/task_status.html", context))


@pytest.mark.parametrize(
    ("phase", "values", "text"),
    [
        ("scheduled", {}, "Count rows [bar] Scheduled"),
        ("queued", {"links": {"cancel": "/c/"}}, "Count rows Cancel [bar] Waiting"),
        (
            "queued",
            {"estimate": {"position": 3}},
            "Count rows [bar] Waiting position 3 in the queue",
        ),
        (
            "queued",
            {"estimate": {"delay": "unserved"}},
            "Count rows [bar] Waiting It cannot be started at the moment. It will start "
            "automatically.",
        ),
        (
            "queued",
            {"estimate": {"delay": "paused", "reason": "Our provider is down"}},
            "Count rows [bar] Waiting Our provider is down Paused. It will start automatically.",
        ),
        ("limited", {}, "Count rows [bar] Waiting for its turn"),
        (
            "limited",
            {"estimate": {"delay": "concurrency", "position": 3}},
            "Count rows [bar] Waiting for its turn position 3 in the queue Others are running "
            "first. It will start automatically.",
        ),
        (
            "limited",
            {"estimate": {"delay": "rate"}},
            "Count rows [bar] Waiting for its turn Only so many may start in a given time. It "
            "will start automatically.",
        ),
        ("running", {"progress": PROGRESS}, "Count rows 34% [bar 34.0] Running Counting rows"),
        (
            "running",
            {"progress": PROGRESS, "estimate": {"delay": "slow"}},
            "Count rows 34% [bar 34.0] Running Counting rows This takes longer than usual.",
        ),
        ("retrying", {"error": ERROR}, "Count rows [bar] Retrying The task failed. · Reference: 1"),
        (
            "cancelling",
            {"progress": PROGRESS},
            "Count rows 34% [bar 34.0] Cancelling Counting rows",
        ),
        ("succeeded", {"progress": PROGRESS}, "Count rows Done"),
        (
            "succeeded",
            {"progress": PROGRESS, "links": {"result": "/r/"}},
            "Count rows Show the result Done",
        ),
        (
            "failed",
            {"progress": PROGRESS, "error": ERROR},
            "Count rows Failed The task failed. · Reference: 1",
        ),
        ("cancelled", {"progress": PROGRESS, "error": ERROR}, "Count rows Cancelled"),
        ("expired", {"error": ERROR}, "Count rows Expired The task failed. · Reference: 1"),
    ],
)
def test_a_phase_reads_right(phase, values, text):
    assert read(phase, **values) == text


def test_a_job_that_is_not_available_reads_right():
    context = widget_context(RequestFactory().get("/"), MISSING_DOCUMENT)

    assert visible_text(render_to_string("offload/task_status.html", context)) == "Not available"
