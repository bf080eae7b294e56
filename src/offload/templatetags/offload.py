"""Template tags: `{% load offload %}`, then a job's state, what it needs, and a form's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template
from django.utils.html import format_html

from offload.live.labels import translated_labels
from offload.live.prefetch import document_for
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
    """Show where a job stands, as the reader may see it; the page's module keeps it up to date.

        {% task_status result announce="off" redirect="/reports/" %}

    Args:
        context: of a template that has the request.
        result: what `enqueue` returned, or its id.
        attributes: of the element: `announce`, `notify`, `redirect`, `stop_after`, `token`,
            `transport`, `class` and so on; `htmx=True` lets htmx poll.
    """
    request = _request(context, "task_status")
    return widget_context(request, document_for(request, result) or MISSING_DOCUMENT, **attributes)


@register.inclusion_tag("offload/task_status_media.html", takes_context=True)
def task_status_media(context: Context) -> dict[str, Any]:
    """Return what belongs into the head of a page that shows jobs: styles, scripts and labels."""
    request = _request(context, "task_status_media")
    return {"labels": translated_labels(), **widget_context(request, PLACEHOLDER_DOCUMENT)}


@register.simple_tag
def idempotency_key() -> SafeString:
    """Return the hidden form field with the key that `offload.idempotent` checks."""
    field = '<input type="hidden" name="idempotency_key" value="{}" autocomplete="off">'
    return format_html(field, new_id())


def _request(context: Context, tag: str) -> HttpRequest:
    request: HttpRequest | None = getattr(context, "request", None) or context.get("request")
    if request is None:
        raise template.TemplateSyntaxError(
            f"{{% {tag} %}} needs the request: render the template with render(request, ...), and "
            "add django.template.context_processors.request to TEMPLATES."
        )
    return request
