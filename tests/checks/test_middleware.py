"""The check of the middleware."""

import pytest

from offload.checks.middleware import check_middleware
from offload.middleware import OffloadMiddleware
from tests.checks.databases import ids_of

OFFLOAD_MIDDLEWARE = "offload.middleware.OffloadMiddleware"


class Own(OffloadMiddleware):
    """A project's subclass."""


@pytest.mark.parametrize(
    ("middleware", "ids"),
    [
        ([], ["offload.W014"]),
        (["django.middleware.common.CommonMiddleware", "gone.Middleware"], ["offload.W014"]),
        (["django.views.csrf.csrf_failure"], ["offload.W014"]),
        ([OFFLOAD_MIDDLEWARE], []),
        (["django.middleware.common.CommonMiddleware", OFFLOAD_MIDDLEWARE], []),
        ([f"{__name__}.Own"], []),
    ],
)
def test_mounted_urls_need_the_middleware(middleware, ids, settings):
    settings.MIDDLEWARE = middleware

    assert ids_of(check_middleware()) == ids


@pytest.mark.parametrize("urls", ["tests.live.empty_urls", "gone", "tests.worker.unimportable", ""])
def test_without_mounted_urls_the_middleware_is_not_needed(urls, settings):
    settings.MIDDLEWARE = []
    settings.ROOT_URLCONF = urls

    assert ids_of(check_middleware()) == []
