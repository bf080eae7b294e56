"""The responses to refused requests: problem documents of RFC 9457."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import JsonResponse
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.utils.functional import Promise


class Problem(Exception):
    """A refused request.

    Args:
        status: HTTP status.
        kind: last part of the type's URI, for programs.
        title: one sentence, for people.
        headers: additional headers of the response.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        title: str | Promise,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind)
        self.status = status
        self.kind = kind
        self.title = title
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """Return the problem document, for JSON."""
        return {
            "type": f"urn:offload:{self.kind}",
            "title": str(self.title),
            "status": self.status,
        }

    def response(self) -> JsonResponse:
        """Return the HTTP response."""
        return JsonResponse(
            self.document(),
            status=self.status,
            headers=self.headers,
            content_type="application/problem+json",
        )


def not_found() -> Problem:
    """The job does not exist, or the client may not see it; the response is the same for both."""
    title = _("This task does not exist, or you are not allowed to see it.")
    return Problem(404, "not-found", title)


def gone() -> Problem:
    """The job was deleted, and the client may learn that it existed."""
    return Problem(410, "gone", _("The task finished long ago and has been deleted."))


def token_expired() -> Problem:
    """The token is too old; the site that made it can make a new one."""
    return Problem(401, "token-expired", _("The token has expired."), _CHALLENGE)


def token_refused() -> Problem:
    """The token was not made by this site, or its user was deactivated or deleted."""
    return Problem(401, "token-refused", _("The token is not valid."), _CHALLENGE)


def unfinished(retry_after: str) -> Problem:
    """The job has no result yet.

    Args:
        retry_after: seconds until the client should try again.
    """
    title = _("The task has not finished yet.")
    return Problem(409, "unfinished", title, {"Retry-After": retry_after})


def finished() -> Problem:
    """A finished job cannot be cancelled."""
    return Problem(409, "finished", _("The task has already finished."))


def already_accepted() -> Problem:
    """The idempotency key started a job, which the client may not see."""
    title = _("This request was accepted before. You are not allowed to see its task.")
    return Problem(409, "already-accepted", title)


def already_enqueued() -> Problem:
    """A job of somebody else, which the client may not see, holds the key of the call."""
    title = _("The same task has already been started. You are not allowed to see it.")
    return Problem(409, "already-enqueued", title)


def no_result() -> Problem:
    """A job that did not succeed has no result."""
    return Problem(409, "no-result", _("The task did not succeed, so it has no result."))


def result_unavailable() -> Problem:
    """The `expose_result` function of the task raised."""
    return Problem(500, "result-unavailable", _("The result cannot be shown."))


def bad_ids(limit: int) -> Problem:
    """The query has no ids, too many, or something that is not an id."""
    title = _("Pass 1 to %(limit)d comma-separated task ids: ?ids=...")
    return Problem(400, "bad-ids", str(title) % {"limit": limit})


def method_not_allowed(allowed: str) -> Problem:
    """The view does not accept the HTTP method."""
    return Problem(405, "method-not-allowed", _("This method is not allowed."), {"Allow": allowed})


def cross_site() -> Problem:
    """According to the browser, the request comes from a page of another site."""
    return Problem(403, "cross-site", _("Cross-site requests are not allowed."))


def too_many_streams(retry_after_seconds: int) -> Problem:
    """The client has reached `max_streams_per_user`."""
    headers = {"Retry-After": str(retry_after_seconds)}
    return Problem(429, "too-many-streams", _("Too many open connections."), headers)


def busy(retry_after_seconds: int) -> Problem:
    """The process has reached `max_streams`, or the database does not respond."""
    headers = {"Retry-After": str(retry_after_seconds)}
    return Problem(503, "busy", _("The server is busy. Please try again soon."), headers)


def queue_full(retry_after_seconds: int) -> Problem:
    """Too many jobs wait in the queue."""
    headers = {"Retry-After": str(retry_after_seconds)}
    return Problem(503, "queue-full", _("The server is busy. Please try again soon."), headers)


def no_stream() -> Problem:
    """The server cannot stream: under WSGI a stream would occupy a thread until its end."""
    title = _("Streaming is not available on this server; poll the status URL instead.")
    return Problem(501, "no-stream", title)


def not_acceptable() -> Problem:
    """The client does not accept an event stream."""
    title = _("This resource is only available as text/event-stream.")
    return Problem(406, "not-acceptable", title)


def upgrade_required() -> Problem:
    """The URL of the WebSocket was requested without an upgrade."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    title = _("This URL only accepts WebSocket connections.")
    return Problem(426, "upgrade-required", title, headers)


_CHALLENGE = {"WWW-Authenticate": "Offload"}
