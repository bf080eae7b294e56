"""The template tags of `{% load offload %}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.utils.html import format_html

from offload.live.labels import translated_labels
from offload.live.prefetch import document_for
from offload.live.refusals import explain_missing
from offload.live.widget import MISSING_DOCUMENT, PLACEHOLDER_DOCUMENT, widget_context
from offload.uuid7 import new_id

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.template import Context
    from django.utils.safestring import SafeString

    from offload.live.prefetch import ResultOrId

register = template.Library()


@register.inclusion_tag("offload/task_status.html", takes_context=True)
def task_status(context: Context, result: ResultOrId, **attributes: Any) -> dict[str, Any]:
    """Render the state of a job, as the reader may see it; the page's script keeps it up to date.

        {% task_status result announce="off" redirect="/reports/" %}

    Args:
        context: of a template that is rendered with the request.
        result: what `enqueue` returned, or its id.
        attributes: of the element: `announce`, `notify`, `redirect`, `stop_after`, `token`,
            `transport`, `class` and so on; `htmx=True` adds polling by htmx.
    """
    request = _get_request(context, "task_status")
    document = document_for(request, result)
    if document is not None:
        return widget_context(request, document, **attributes)
    missing = widget_context(request, MISSING_DOCUMENT, **attributes)
    if settings.DEBUG:
        missing["phase_label"] = f"{missing['phase_label']}: {explain_missing(request, result)}"
    return missing


@register.inclusion_tag("offload/task_status_media.html", takes_context=True)
def task_status_media(context: Context, transport: str = "") -> dict[str, Any]:
    """Render what the head of a page with jobs needs: style sheet, scripts and labels.

        {% task_status_media transport="websocket" %}

    Args:
        context: of a template that is rendered with the request.
        transport: `websocket` to prefer a WebSocket to a stream; only under ASGI.

    Raises:
        TemplateSyntaxError: for any other transport.
    """
    request = _get_request(context, "task_status_media")
    if transport not in {"", "websocket"}:
        raise template.TemplateSyntaxError(
            f'{{% task_status_media %}}: transport can only be "websocket", not "{transport}".'
        )
    return {
        "labels": translated_labels(),
        "has_socket": bool(transport) and isinstance(request, ASGIRequest),
        **widget_context(request, PLACEHOLDER_DOCUMENT),
    }


@register.simple_tag
def idempotency_key() -> SafeString:
    """Render a hidden field with a new key for `offload.idempotent`."""
    field = '<input type="hidden" name="idempotency_key" value="{}" autocomplete="off">'
    return format_html(field, new_id())


def _get_request(context: Context, tag: str) -> HttpRequest:
    request: HttpRequest | None = getattr(context, "request", None) or context.get("request")
    if request is None:
        raise template.TemplateSyntaxError(
            f"{{% {tag} %}} needs the request: render the template with render(request, ...), and "
            "add django.template.context_processors.request to TEMPLATES."
        )
    return request
