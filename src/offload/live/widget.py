"""The template context of `<task-status>`: a status document in the active language."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.handlers.asgi import ASGIRequest
from django.forms.utils import flatatt
from django.utils import formats, timezone
from django.utils.crypto import salted_hmac

from offload.live.labels import MESSAGES, PHASE_LABELS, UNAVAILABLE_LABELS
from offload.owners import owners_of_request

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

MISSING_DOCUMENT = {
    "phase": "missing",
    "is_finished": True,
    "version": None,
    "title": "",
    "links": {},
}
"""Replaces the document of a job that the reader may not see."""
PLACEHOLDER_DOCUMENT = {**MISSING_DOCUMENT, "phase": "queued", "is_finished": False}
"""The document of the `<template>` from which the browser creates new elements."""
SELF_EXPLANATORY = {"cancelled", "missing", "gone", "signed-out"}
"""Phases that need no details."""
CHANNEL_CHARS = 16


def widget_context(
    request: HttpRequest, document: dict[str, Any], *, htmx: bool = False, **attributes: Any
) -> dict[str, Any]:
    """Return the context of `offload/task_status.html`.

    Args:
        request: the request for the page.
        document: the status document.
        htmx: whether htmx polls if the page does not load `task-status.js`.
        attributes: HTML attributes of the element; one that is None, False or "" is left out.
    """
    percent = _progress(document).get("percent")
    return {
        "task": document,
        "is_template": document is PLACEHOLDER_DOCUMENT,
        "attributes": _render_attributes(
            _own_attributes(request, document),
            _htmx_attributes(document) if htmx else {},
            attributes,
        ),
        "phase_label": (PHASE_LABELS | UNAVAILABLE_LABELS)[document["phase"]],
        # As text, since templates would localize a number.
        "progress_value": None if percent is None else str(percent),
        "percent": "" if percent is None else _message("percent", math.floor(percent)),
        "details": " · ".join(filter(None, _details(document))),
        "time": _localize(document.get("finished_at") or document.get("run_after")),
        "slow": MESSAGES.get(_delay(document), ""),
        "refresh_seconds": str(math.ceil((document.get("poll_ms") or 0) / 1000)),
    }


def channel_name(request: HttpRequest) -> str | None:
    """Return the name under which the tabs of one user share a connection.

    It does not reveal the user. Another user of the same browser gets another name.
    """
    owners = "\n".join(sorted(owners_of_request(request)))
    if not owners:
        return None
    digest = salted_hmac("offload.live.channel", owners, algorithm="sha256").hexdigest()
    return digest[:CHANNEL_CHARS]


def format_duration(seconds: float) -> str:
    """Return minutes and seconds as 1:05, which needs no translation."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes}:{seconds:02d}"


def _own_attributes(request: HttpRequest, document: dict[str, Any]) -> dict[str, Any]:
    version = document["version"]
    return {
        "href": document["links"].get("self"),
        "version": None if version is None else str(version),
        "transport": None if isinstance(request, ASGIRequest) else "poll",
        "channel": channel_name(request),
        "data-phase": document["phase"],
        "data-finished": document["is_finished"],
        "data-slow": bool(_delay(document)),
    }


def _htmx_attributes(document: dict[str, Any]) -> dict[str, str]:
    """Return the attributes with which htmx polls; none for a finished job."""
    if document["is_finished"]:
        return {}
    return {
        "hx-get": document["links"]["self"],
        "hx-trigger": f"every {document['poll_ms']}ms",
        "hx-swap": "outerHTML",
    }


def _render_attributes(*sources: dict[str, Any]) -> SafeString:
    """Return HTML attributes; a later source overrides an earlier one."""
    attributes = {}
    for source in sources:
        for name, value in source.items():
            if value not in {None, False, ""}:
                attributes[name.replace("_", "-")] = value
    return flatatt(attributes)


def _delay(document: dict[str, Any]) -> str:
    estimate = document.get("estimate") or {}
    return estimate.get("delay") or ""


def _progress(document: dict[str, Any]) -> dict[str, Any]:
    """Return the progress of an unfinished job: the last message is not true any more later."""
    return {} if document["is_finished"] else document.get("progress") or {}


def _details(document: dict[str, Any]) -> list[str | None]:
    """Return the parts of the line below the bar."""
    if document["phase"] in SELF_EXPLANATORY:
        return []
    if error := document.get("error"):
        return [error["title"], error["detail"], _message("reference", error["reference"])]
    progress = _progress(document)
    estimate = document.get("estimate") or {}
    details = [_format_step(progress.get("step")), progress.get("message")]
    remaining_seconds = estimate.get("remaining_seconds")
    if remaining_seconds is not None:
        details.append(_message("remaining", format_duration(remaining_seconds)))
    position = estimate.get("position")
    if position is not None:
        details.append(_message("position", position))
    details.append(estimate.get("reason"))
    return details


def _format_step(step: dict[str, Any] | None) -> str | None:
    if not step:
        return None
    number = f"{step['number']}/{step['of']}" if step["of"] else str(step["number"])
    return f"{number} {step['name']}".strip()


def _message(name: str, value: object) -> str:
    return str(MESSAGES[name]).replace("{}", str(value))


def _localize(text: str | None) -> dict[str, str] | None:
    """Return the `datetime` attribute and the text of a `<time>` element."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return {"datetime": text, "text": formats.date_format(local, "SHORT_DATETIME_FORMAT")}
