"""Tasks with each kind of visibility and exposed result."""

from __future__ import annotations

import threading
from typing import Any

from django.core.files.base import ContentFile
from django.http import Http404, HttpResponse, HttpResponseRedirect

from offload import Unique, UserFacingError, progress, task
from tests.worker.tasks import hold


@task
def private(secret: str = "") -> str:
    return f"returned {secret}"


@task(title="Monthly <b>report</b>", expose_result=True)
def shown(value: Any = None) -> Any:
    return value


@task(visibility="staff", expose_result=True)
def for_staff() -> int:
    return 1


@task(visibility="authenticated", expose_result=True)
def for_authenticated() -> int:
    return 1


@task(visibility="public", expose_result=True)
def for_all() -> int:
    return 1


def is_named(request: Any, result: Any) -> bool:
    """Admit the users that the job's arguments name."""
    return bool(request.user.get_username() in result.args)


@task(visibility=is_named, expose_result=True)
def for_named(*names: str) -> int:
    return 1


def raises(request: Any, result: Any) -> bool:
    raise RuntimeError("secret")


@task(visibility=raises)
def for_raising() -> int:
    return 1


decision_started, decision_allowed = threading.Event(), threading.Event()


def decides_slowly(request: Any, result: Any) -> bool:
    """Signal the call, and wait for the test."""
    decision_started.set()
    return decision_allowed.wait(20)


@task(visibility=decides_slowly)
def for_slow_decision() -> None: ...


@task(visibility=lambda request, result: request.headers.get("Remote-User") == "ada")
def for_proxy_user() -> None: ...


@task(expose_result=lambda result: {"sum": sum(result.return_value)})
def exposed_sum(*numbers: int) -> list[int]:
    return list(numbers)


@task(expose_result=lambda result: ContentFile(b"a,b\r\n1,2\r\n", name="folder/report.csv"))
def exposed_file() -> None: ...


@task(expose_result=lambda result: HttpResponseRedirect("https://storage.example/x?signature=1"))
def exposed_redirect() -> None: ...


def raises_not_found(result: Any) -> Any:
    raise Http404("secret")


@task(expose_result=raises_not_found)
def exposed_not_found() -> None: ...


@task(
    expose_result=lambda result: HttpResponse("x", headers={"Cache-Control": "private, max-age=60"})
)
def cacheable() -> None: ...


@task(expose_result=lambda result: 1 / 0)
def broken_exposure() -> None: ...


class TooLarge(UserFacingError):
    """The upload."""


@task
def refuse(message: str) -> None:
    raise TooLarge(message)


@task
def explode(message: str) -> None:
    raise RuntimeError(message)


@task(visibility="public")
def fill(gate: str) -> None:
    """Report progress, and wait for the gate."""
    progress(3, 10, "Filling")
    hold.func(gate)


@task(unique=Unique("{number}"))
def once(number: str) -> None:
    """One of a number at a time."""
