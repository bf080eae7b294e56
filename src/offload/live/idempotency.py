"""Idempotent views: a form that is sent twice starts one job.

The id of the job is derived from the key in the form, so there is nothing to store and nothing to
clean up: the primary key of the jobs' table rejects the second job.
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
    """Decorate a view so that it starts one job per key, however often a client sends it.

    The key is the form's field `{% idempotency_key %}` or the header `Idempotency-Key`. A view
    is not called again for a key that started a job: the response is the one of `accepted` for
    that job. Of two concurrent requests one starts its job, and the other is rolled back. Requests
    without a key, or without a user, session or CSRF cookie, are not changed.

        @offload.idempotent
        def start(request):
            report = Report.objects.create(author=request.user)
            return offload.accepted(request, build_report.enqueue(report.pk))

    Only the first job that the view enqueues is protected. A sync view runs in a transaction; an
    async view does not, so what it writes before it enqueues may be written twice.
    """
    decorate = _decorate_async if iscoroutinefunction(view) else _decorate_sync
    return wraps(view)(decorate(view))  # type: ignore[return-value]


def _decorate_sync(view: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        identifier = _job_id(request, view)
        if identifier is None:
            return view(request, *args, **kwargs)
        using = backend_options(DEFAULT_TASK_BACKEND_ALIAS).database
        try:
            with transaction.atomic(using), reserve_id(identifier):
                return _existing_response(request, identifier) or view(request, *args, **kwargs)
        except IntegrityError:
            if response := _existing_response(request, identifier):
                return response
            raise

    return wrapper


def _decorate_async(view: Callable[..., Any]) -> Callable[..., Any]:
    existing_response = sync_to_async(_existing_response)

    async def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        identifier = await sync_to_async(_job_id)(request, view)
        if identifier is None:
            return await view(request, *args, **kwargs)
        try:
            with reserve_id(identifier):
                response = await existing_response(request, identifier)
                return response or await view(request, *args, **kwargs)
        except IntegrityError:
            if response := await existing_response(request, identifier):
                return response
            raise

    return wrapper


def _job_id(request: HttpRequest, view: Callable[..., Any]) -> UUID | None:
    """Return the id that the job of a request gets; None for a random one.

    It depends on the client, so that no client can choose or guess the id of another's job.
    """
    if request.method != "POST":
        return None
    key = request.headers.get("Idempotency-Key") or request.POST.get(FIELD_NAME, "")
    client = _client_name(request)
    if not key or len(key) > MAX_KEY_CHARS or not client:
        return None
    name = "\n".join([client, f"{view.__module__}.{view.__qualname__}", key])
    digest = salted_hmac("offload.live.idempotency", name, algorithm="sha256").digest()
    return derive_id(key, digest)


def _client_name(request: HttpRequest) -> str:
    """Return a name for the client that stays the same across requests; "" if unknown."""
    user: Any = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return owner_of_user(user)
    # The key of a session in signed cookies changes with its content; the CSRF cookie does not.
    csrf_cookie = request.COOKIES.get(settings.CSRF_COOKIE_NAME)
    session = getattr(request, "session", None)
    return csrf_cookie or getattr(session, "session_key", None) or ""


def _existing_response(request: HttpRequest, identifier: UUID) -> HttpResponseBase | None:
    """Return the response for a job that exists already; None if it does not exist."""
    job = find_jobs([identifier]).get(identifier)
    if job is None:
        return None
    # If a visitor's first two requests are concurrent, each puts a new owner's name into the
    # session. The session must keep the name that the job has.
    if job.owner.startswith("session:") and getattr(request, "session", None) is not None:
        request.session[SESSION_KEY] = job.owner.removeprefix("session:")
    return accepted(request, job_result(job))
