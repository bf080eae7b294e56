"""APIs in Django REST framework and Ninja whose clients authenticate with tokens."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.urls import include, path
from django.utils.decorators import method_decorator
from ninja import NinjaAPI
from ninja.security import HttpBearer
from rest_framework.authentication import BaseAuthentication, BasicAuthentication
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.views import APIView

import offload
from tests.live.tasks import shown


def find_user(token: str) -> User | None:
    """Return the user whose name is the token."""
    return User.objects.filter(username=token).first()


class TokenAuthentication(BaseAuthentication):
    """The scheme of Django REST framework's own class, without its table."""

    def authenticate(self, request: Any) -> tuple[User, None] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme != "Token":
            return None
        user = find_user(token)
        if user is None:
            raise AuthenticationFailed
        return user, None


class Bearer(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        return find_user(token)


@api_view(["POST"])
@authentication_classes([TokenAuthentication])
@offload.idempotent
def start_in_rest_framework(request: Any) -> Any:
    return offload.accepted(request, shown.enqueue("done"))


@method_decorator(offload.idempotent, name="post")
class StartView(APIView):
    authentication_classes = (TokenAuthentication,)

    def post(self, request: Any) -> Any:
        return offload.accepted(request, shown.enqueue("done"))


@offload.idempotent
@api_view(["POST"])
@authentication_classes([TokenAuthentication])
def start_outermost(request: Any) -> Any:
    return offload.accepted(request, shown.enqueue("done"))


ninja = NinjaAPI(auth=Bearer())


@ninja.post("start/")
@offload.idempotent
def start_in_ninja(request: HttpRequest) -> Any:
    return offload.accepted(request, shown.enqueue("done"))


@ninja.post("start-async/")
@offload.idempotent
async def start_in_async_ninja(request: HttpRequest) -> Any:
    return await offload.aaccepted(request, await shown.aenqueue("done"))


def user_of(request: HttpRequest) -> User | None:
    """Return the user of a request to `offload.urls`, as the APIs authenticate it."""
    for authenticator in (TokenAuthentication(), BasicAuthentication()):
        if found := authenticator.authenticate(request):
            return found[0]
    return Bearer()(request)


def user_of_session(request: Any) -> Any:
    """Return the user of the session, which must not count as one of the header."""
    if hasattr(request, "session") or request.COOKIES or "Cookie" in request.headers:
        raise AssertionError("The cookies are visible.")
    return request.user


urlpatterns = [
    path("", include("tests.live.urls")),
    path("rest/start/", start_in_rest_framework),
    path("rest/start-in-class/", StartView.as_view()),
    path("rest/start-outermost/", start_outermost),
    path("ninja/", ninja.urls),
]
