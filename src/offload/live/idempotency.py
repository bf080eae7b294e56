"""Idempotent views: a form that is sent twice starts one job.

The id of the job is derived from the key in the form, so there is nothing to store and nothing to
clean up: the primary key of the jobs' table rejects the second job.
"""

from __future__ import annotations

import json
import logging
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

from offload.backends.base import offload_backends
from offload.live import problems
from offload.live.accepted import accepted
from offload.live.access import grants
from offload.live.authentication import try_to_authenticate
from offload.live.jobs import backend_options, find_jobs, job_result
from offload.live.responses import problem_response
from offload.owners import known_owner_of_request, owner_of_request
from offload.reserved_ids import reserve_id
from offload.tenants import tenant_of
from offload.uuid7 import derive_id

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

FIELD_NAME = "idempotency_key"
MAX_KEY_CHARS = 255

logger = logging.getLogger("offload.live")


def idempotent[View: Callable[..., Any]](view: View) -> View:
    """Decorate a view so that it starts one job per key, however often a client sends it.

    The key is the form's field `{% idempotency_key %}` or the header `Idempotency-Key`. A view
    is not called again for a key that started a job: the response is the one of `accepted` for
    that job, or 409 for a client that may not see it. Of two concurrent requests one starts its
    job, and the other is rolled back.

    A key is valid for one user, or one visitor's session or CSRF cookie, in one tenant and view.
    Requests without a key, or without any of these, are not changed; the latter are logged.

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
        ids = _possible_ids(request, view)
        if not ids:
            return view(request, *args, **kwargs)
        using = backend_options(DEFAULT_TASK_BACKEND_ALIAS).database
        try:
            with transaction.atomic(using), reserve_id(ids[0]):
                return _existing_response(request, ids) or view(request, *args, **kwargs)
        except IntegrityError:
            if response := _existing_response(request, ids):
                return response
            raise

    return wrapper


def _decorate_async(view: Callable[..., Any]) -> Callable[..., Any]:
    existing_response = sync_to_async(_existing_response)

    async def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        ids = await sync_to_async(_possible_ids)(request, view)
        if not ids:
            return await view(request, *args, **kwargs)
        try:
            with reserve_id(ids[0]):
                response = await existing_response(request, ids)
                return response or await view(request, *args, **kwargs)
        except IntegrityError:
            if response := await existing_response(request, ids):
                return response
            raise

    return wrapper


def _possible_ids(request: HttpRequest, view: Callable[..., Any]) -> list[UUID]:
    """Return the ids that the job of a request may have; a new job gets the first.

    It depends on the client, so that no client can choose or guess the id of another's job.
    Without a key, or a name for the client, there are none.
    """
    if request.method != "POST":
        return []
    key = request.headers.get("Idempotency-Key") or request.POST.get(FIELD_NAME, "")
    if not key or len(key) > MAX_KEY_CHARS:
        return []
    path = f"{view.__module__}.{getattr(view, '__qualname__', type(view).__qualname__)}"
    authenticated = try_to_authenticate(request)
    clients = _client_names(authenticated)
    if not clients:
        logger.warning(
            "A request to %s has an idempotency key, but no user, session or CSRF cookie, so the "
            "same key will start another job. If the view's framework authenticates its clients, "
            "put @offload.idempotent below the framework's decorator, or set "
            "OPTIONS['user_getter'].",
            request.path,
        )
    tenants = _tenants(authenticated)
    return [_derive_id(key, [*client, *tenants, path, key]) for client in clients]


def _derive_id(key: str, parts: list[str]) -> UUID:
    """Return the id of the job; as JSON, no part can be taken for another."""
    value = json.dumps(parts)
    digest = salted_hmac("offload.live.idempotency", value, algorithm="sha256").digest()
    return derive_id(key, digest)


def _client_names(request: HttpRequest) -> list[tuple[str, str]]:
    """Return names for the client, each with its kind, the most certain one first.

    A visitor's first form may create the session. Sent again, the form has two names.
    """
    names = []
    owner = known_owner_of_request(request)
    if owner:
        names.append(("owner", owner))
    csrf_cookie = request.COOKIES.get(settings.CSRF_COOKIE_NAME)
    if csrf_cookie and not owner.startswith("user"):
        names.append(("csrf", csrf_cookie))
    return names


def _tenants(request: HttpRequest) -> list[str]:
    """Return the request's tenant for each way of determining it, in the order of their paths."""
    paths = {backend.settings.tenant_getter for backend in offload_backends()}
    return [tenant_of(request, path) for path in sorted(paths - {""})]


def _existing_response(request: HttpRequest, ids: list[UUID]) -> HttpResponseBase | None:
    """Return the response for a job that exists already; None if it does not exist.

    The page contains the secret of the CSRF cookie and the key. So they show no job, and a job
    that others started with them does not replace the one of this request's session.
    """
    jobs = find_jobs(ids)
    for identifier in ids:
        job = jobs.get(identifier)
        if job is None:
            continue
        # A concurrent first request of this session may have stored the same name in it.
        owner_of_request(try_to_authenticate(request))
        if "status" in grants(request, job):
            return accepted(request, job_result(job))
        if identifier == ids[0]:
            return problem_response(request, problems.already_accepted())
    return None
