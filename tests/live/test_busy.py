"""`offload.busy`: the response of a view whose queue is full."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import include, path
from django.utils import translation
from ninja import NinjaAPI
from rest_framework.decorators import api_view
from rest_framework.views import APIView

import offload
from offload.exceptions import QueueFull, QueueUnavailable
from tests.live.clients import BROWSER

FULL = QueueFull("mail", 100, retry_after=4.2)


def view(request: HttpRequest) -> Any:
    try:
        raise FULL
    except QueueFull as error:
        return offload.busy(request, error)


@api_view(["POST"])
def in_rest_framework(request: Any) -> Any:
    return offload.busy(request, FULL)


class InClass(APIView):
    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, QueueFull):
            return offload.busy(self.request, exc)
        return super().handle_exception(exc)

    def post(self, request: Any) -> Any:
        raise FULL


ninja = NinjaAPI(urls_namespace="busy")


@ninja.exception_handler(QueueFull)
def refuse(request: HttpRequest, error: Any) -> Any:
    return offload.busy(request, error)


@ninja.post("start/")
def in_ninja(request: HttpRequest) -> Any:
    raise FULL


class BusyMiddleware:
    """The middleware of docs/howto/pause-and-protect-queues.md."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> Any:
        return offload.busy(request, error) if isinstance(error, QueueFull) else None


def raising(request: HttpRequest) -> Any:
    raise FULL


urlpatterns = [
    path("view/", view),
    path("rest/", in_rest_framework),
    path("class/", InClass.as_view()),
    path("raising/", raising),
    path("ninja/", ninja.urls),
    path("tasks/", include("offload.urls")),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
PATHS = ["/view/", "/rest/", "/class/", "/ninja/start/", "/raising/"]


@pytest.fixture(autouse=True)
def _middleware(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.BusyMiddleware"]


@pytest.mark.parametrize("url", PATHS)
def test_a_script_gets_a_problem_document_and_when_to_try_again(url: str) -> None:
    response = Client().post(url)

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.json() == {
        "type": "urn:offload:queue-full",
        "title": "The server is busy. Please try again soon.",
        "status": 503,
    }


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_a_browser_gets_a_page_in_its_language(language: str) -> None:
    with translation.override(language):
        response = Client().post("/view/", headers=BROWSER)
        text = translation.gettext("The server is busy. Please try again soon.")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert text in response.text
    assert "mail" not in response.text.partition("<main>")[2]


@pytest.mark.parametrize("headers", [{}, BROWSER])
def test_nobody_is_mailed_about_a_refusal(headers: Any, caplog: pytest.LogCaptureFixture) -> None:
    Client().post("/view/", headers=headers)

    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_database_that_does_not_respond_is_a_reason_too() -> None:
    request = RequestFactory().post("/")

    response = offload.busy(request, QueueUnavailable("No connection"))

    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("error", [ValueError(), None, "full"])
def test_another_error_is_refused(error: Any) -> None:
    with pytest.raises(TypeError, match="takes the request and the QueueFull"):
        offload.busy(RequestFactory().post("/"), error)


@override_settings(ROOT_URLCONF="tests.live.empty_urls")
def test_it_needs_no_urls_of_the_package() -> None:
    request = RequestFactory().post("/", headers=BROWSER)

    assert offload.busy(request, FULL).status_code == 503
