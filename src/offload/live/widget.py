"""What the template of `<task-status>` shows: a status document, in the reader's language."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.handlers.asgi import ASGIRequest
from django.forms.utils import flatatt
from django.utils import formats, timezone
from django.utils.crypto import salted_hmac

from offload.live.documents import retry_after
from offload.live.labels import MESSAGES, PHASE_LABELS, UNAVAILABLE_LABELS
from offload.ownership import owners_of_request

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
"""Instead of the document of a job that the reader may not see."""
PLACEHOLDER_DOCUMENT = {
    "phase": "queued",
    "is_finished": False,
    "version": None,
    "title": "",
    "links": {},
}
"""Instead of the document of a job that the browser will start."""


def widget_context(
    request: HttpRequest, document: dict[str, Any], *, htmx: bool = False, **attributes: Any
) -> dict[str, Any]:
    """Return what `offload/task_status.html` shows.

    Args:
        request: who reads.
        document: the status document.
        htmx: let htmx look again where our module does not run.
        attributes: more attributes of the element; None, False and "" say nothing.
    """
    progress, estimate = document.get("progress") or {}, document.get("estimate") or {}
    delay = estimate.get("delay")
    percent = progress.get("percent")
    own = {
        "href": document["links"].get("self"),
        "version": None if document["version"] is None else str(document["version"]),
        "transport": None if isinstance(request, ASGIRequest) else "poll",
        "channel": channel_name(request),
        "data-phase": document["phase"],
        "data-finished": document["is_finished"],
        "data-slow": delay is not None,
    }
    return {
        "task": document,
        "attributes": _attributes(own, _htmx(document) if htmx else {}, attributes),
        "word": (PHASE_LABELS | UNAVAILABLE_LABELS)[document["phase"]],
        # Text, since templates would write numbers as people of some countries do.
        "value": None if percent is None else str(percent),
        "percent": "" if percent is None else _sentence("percent", math.floor(percent)),
        "details": " · ".join(filter(None, _details(document, progress, estimate))),
        "moment": _moment(document.get("finished_at") or document.get("run_after")),
        "slow": MESSAGES[delay or "slow"],
        "offline": MESSAGES["offline"],
        "refresh": retry_after(document.get("poll_ms") or 0),
    }


def channel_name(request: HttpRequest) -> str | None:
    """Return the name under which tabs of one person share what they hear.

    It tells nothing, and no other user of the browser gets the same.
    """
    owners = "\n".join(sorted(owners_of_request(request)))
    if not owners:
        return None
    return salted_hmac("offload.live.channel", owners, algorithm="sha256").hexdigest()[:16]


def format_duration(seconds: float) -> str:
    """Return minutes and seconds, which need no translation."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _attributes(*sources: dict[str, Any]) -> SafeString:
    """Return attributes; of one name the last one that says anything."""
    return flatatt(
        {
            name.replace("_", "-"): value
            for source in sources
            for name, value in source.items()
            if value not in {None, False, ""}
        }
    )


def _htmx(document: dict[str, Any]) -> dict[str, str]:
    """Return the attributes by which htmx polls; none when there is nothing to wait for."""
    if document["is_finished"]:
        return {}
    return {
        "hx-get": document["links"]["self"],
        "hx-trigger": f"every {document['poll_ms']}ms",
        "hx-swap": "outerHTML",
    }


def _details(
    document: dict[str, Any], progress: dict[str, Any], estimate: dict[str, Any]
) -> list[str | None]:
    if error := document.get("error"):
        return [error["title"], error["detail"], _sentence("reference", error["reference"])]
    step = progress.get("step") or {}
    remaining, position = estimate.get("remaining_seconds"), estimate.get("position")
    return [
        _step(step) if step else None,
        progress.get("message"),
        None if remaining is None else _sentence("remaining", format_duration(remaining)),
        None if position is None else _sentence("position", position),
    ]


def _step(step: dict[str, Any]) -> str:
    of = f"/{step['of']}" if step["of"] else ""
    return f"{step['number']}{of} {step['name']}".strip()


def _sentence(name: str, value: object) -> str:
    return str(MESSAGES[name]).replace("{}", str(value))


def _moment(text: str | None) -> dict[str, str] | None:
    """Return a time for `<time>`: as machines and as people read it."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return {"exact": text, "read": formats.date_format(local, "SHORT_DATETIME_FORMAT")}
