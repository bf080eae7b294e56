"""Static and media files; in production the web server serves them."""

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.views import serve as serve_asset
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.static import serve


def asset(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve a style sheet, a script or a picture of the page."""
    return whole(serve_asset(request, path, insecure=True))


def media(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve a picture that the shop created."""
    return whole(serve(request, path, document_root=settings.MEDIA_ROOT))


def sample(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve one of the sample files."""
    return whole(serve(request, path, document_root=settings.SAMPLES))


def whole(response: Any) -> HttpResponseBase:
    """Return the response in one piece; under ASGI Django warns about streamed files."""
    if not response.streaming:
        return response
    try:
        return HttpResponse(response.getvalue(), headers=response.headers)
    finally:
        response.close()
