"""Problem documents: why a request was not answered, as RFC 9457 has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import JsonResponse
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.utils.functional import Promise


class Problem(Exception):
    """A request that is refused.

    Args:
        status: HTTP status.
        kind: what the type's URI ends with, for programs.
        title: one sentence, for people.
        headers: more headers.
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
        """Return the answer."""
        return JsonResponse(
            self.document(),
            status=self.status,
            headers=self.headers,
            content_type="application/problem+json",
        )


def not_found() -> Problem:
    """There is no such job, or none that the reader may know of: nobody learns which."""
    return Problem(404, "not-found", _("There is no such task, or it is not yours."))


def gone() -> Problem:
    """The reader's job was pruned."""
    return Problem(410, "gone", _("The task ended long ago and is no longer kept."))


def token_expired() -> Problem:
    """The token was good: whoever made it can make a new one."""
    return Problem(401, "token-expired", _("The token has expired."), _CHALLENGE)


def token_refused() -> Problem:
    """The token never was good, or is of a user who is gone."""
    return Problem(401, "token-refused", _("The token is not valid."), _CHALLENGE)


def unfinished(seconds: str) -> Problem:
    """The result is not there yet."""
    title = _("The task has not finished yet.")
    return Problem(409, "unfinished", title, {"Retry-After": seconds})


def finished() -> Problem:
    """What has ended cannot be cancelled."""
    return Problem(409, "finished", _("The task has already finished."))


def no_result() -> Problem:
    """A job that failed has no result."""
    return Problem(409, "no-result", _("The task did not succeed, so it has no result."))


def result_unavailable() -> Problem:
    """The code that shows the result failed."""
    return Problem(500, "result-unavailable", _("The result cannot be shown."))


def bad_ids(limit: int) -> Problem:
    """There are no ids, too many, or what is none."""
    title = _("Give up to %(limit)d ids of tasks, separated by commas: ?ids=...")
    return Problem(400, "bad-ids", str(title) % {"limit": limit})


def method_not_allowed(allowed: str) -> Problem:
    """The view answers other methods."""
    return Problem(405, "method-not-allowed", _("This method is not allowed."), {"Allow": allowed})


def cross_site() -> Problem:
    """A browser says that another site's page sent the request."""
    return Problem(403, "cross-site", _("Another site may not do this."))


def too_many_streams(seconds: int) -> Problem:
    """One person holds as many streams as one may."""
    title = _("Too many pages of yours are listening.")
    return Problem(429, "too-many-streams", title, {"Retry-After": str(seconds)})


def busy(seconds: int) -> Problem:
    """The server holds as many streams as it may, or the queue's database does not answer."""
    return Problem(
        503, "busy", _("The server is busy. Try again soon."), {"Retry-After": str(seconds)}
    )


def no_stream() -> Problem:
    """Under WSGI a stream would hold a worker of the server, and arrive all at its end."""
    return Problem(501, "no-stream", _("This server cannot stream: ask again and again instead."))


def not_acceptable() -> Problem:
    """Who asks does not want a stream."""
    return Problem(406, "not-acceptable", _("This is a stream of events: text/event-stream."))


def upgrade_required() -> Problem:
    """A page was asked for where a WebSocket is."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return Problem(426, "upgrade-required", _("This is a WebSocket."), headers)


_CHALLENGE = {"WWW-Authenticate": "Offload"}
