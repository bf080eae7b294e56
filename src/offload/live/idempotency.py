"""A form that is sent twice starts one job.

The id of the job is made of the key that the form carries, so there is nothing to remember and
nothing to clean up: the primary key of the jobs' table decides who came first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import IntegrityError, transaction
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS
from django.utils.crypto import salted_hmac

from offload.live.accepted import accepted
from offload.live.jobs import backend_options, find_jobs, job_result
from offload.ownership import SESSION_KEY, owner_of_user, reserve_id
from offload.uuid7 import derive_id

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

FIELD_NAME = "idempotency_key"
MAX_KEY_CHARS = 255


def idempotent[View: Callable[..., Any]](view: View) -> View:
    """Let a view start one job for each key, however often a form or a client sends it.

    The key is the form's field `{% idempotency_key %}`, or the header `Idempotency-Key`. A view
    that gets a key again is not called again: the job that it started is the answer, as by
    `accepted`. Of two that come at once, one starts its job; the other is rolled back. Without
    a key, or from somebody who cannot be told from others, the view is called as ever.

        @offload.idempotent
        def start(request):
            report = Report.objects.create(author=request.user)
            return offload.accepted(request, build_report.enqueue(report.pk))

    The first job that the view enqueues is the one; the view runs in a transaction. An async view
    has none: what it writes before it enqueues may be written twice.
    """
    return wraps(view)((_async if iscoroutinefunction(view) else _sync)(view))  # type: ignore[return-value]


def _sync(view: Callable[..., Any]) -> Callable[..., Any]:
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        identifier = _job_id(request, view)
        if identifier is None:
            return view(request, *args, **kwargs)
        using = backend_options(DEFAULT_TASK_BACKEND_ALIAS).database
        try:
            with transaction.atomic(using), reserve_id(identifier):
                return _repeated(request, identifier) or view(request, *args, **kwargs)
        except IntegrityError:
            if response := _repeated(request, identifier):
                return response
            raise

    return answer


def _async(view: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        identifier = await sync_to_async(_job_id)(request, view)
        if identifier is None:
            return await view(request, *args, **kwargs)
        try:
            with reserve_id(identifier):
                repeated = await sync_to_async(_repeated)(request, identifier)
                return repeated or await view(request, *args, **kwargs)
        except IntegrityError:
            if response := await sync_to_async(_repeated)(request, identifier):
                return response
            raise

    return answer


def _job_id(request: HttpRequest, view: Callable[..., Any]) -> UUID | None:
    """Return the id that the job of a request has; None if it can be any.

    It is nothing that a client could choose or guess for somebody else.
    """
    if request.method != "POST":
        return None
    key = request.headers.get("Idempotency-Key") or request.POST.get(FIELD_NAME, "")
    holder = _holder(request)
    if not key or len(key) > MAX_KEY_CHARS or not holder:
        return None
    name = "\n".join([holder, f"{view.__module__}.{view.__qualname__}", key])
    return derive_id(
        key, salted_hmac("offload.live.idempotency", name, algorithm="sha256").digest()
    )


def _holder(request: HttpRequest) -> str:
    """Return who asks, by what stays the same from one request to the next; "" for anybody."""
    user: Any = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return owner_of_user(user)
    # Of sessions in signed cookies the key is another one after each change.
    cookie = request.COOKIES.get(settings.CSRF_COOKIE_NAME)
    return cookie or getattr(getattr(request, "session", None), "session_key", None) or ""


def _repeated(request: HttpRequest, identifier: UUID) -> HttpResponseBase | None:
    """Return the answer for a job that is there; None if it is not."""
    job = find_jobs([identifier]).get(identifier)
    if job is None:
        return None
    # Of two first requests of a visitor each has named the session; the job goes by one name.
    if job.owner.startswith("session:") and getattr(request, "session", None) is not None:
        request.session[SESSION_KEY] = job.owner.removeprefix("session:")
    return accepted(request, job_result(job))
