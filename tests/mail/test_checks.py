"""Mistakes in the settings of mailers are reported before the first email."""

import logging
from typing import Any

import pytest
from django.test import override_settings
from django.utils.log import AdminEmailHandler

from offload.mail.checks import check_error_reports, check_mailers
from tests.failure_reports import handling
from tests.mail.conftest import HAS_MAILERS, SMTP_BACKEND

needs_mailers = pytest.mark.skipif(not HAS_MAILERS, reason="Django 6.0 has no MAILERS")
SMTP = {"BACKEND": SMTP_BACKEND, "OPTIONS": {"host": "127.0.0.1"}}


def mailers(**options: Any) -> Any:
    entry = {"BACKEND": "offload.mail.EmailBackend", "OPTIONS": options}
    return override_settings(MAILERS={"default": entry, "smtp": SMTP, "other": entry})


@needs_mailers
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "must be the alias of the mailer that sends"),
        ({"mailer": "stmp"}, "Did you mean 'smtp'"),
        ({"mailer": "default"}, "must be the alias|enqueues email, too"),
        ({"mailer": "other"}, "must be the alias|enqueues email, too"),
        ({"mailer": "smtp", "queue_name": "mial"}, "Did you mean 'mail'"),
        ({"mailer": "smtp", "task_backend": "gone"}, "gone"),
        ({"mailer": "smtp", "queue": "mail"}, "queue"),
        ({"mailer": "smtp", "leave_out": "context"}, "must be a list"),
        ({"mailer": "smtp", "password": "secret"}, "would be stored"),
    ],
)
def test_a_mailer_that_could_not_enqueue_is_an_error(options, text):
    with mailers(**options):
        problem, *_ = check_mailers()

    assert problem.id == "offload.E031"
    assert problem.msg.startswith("MAILERS['default']: ")
    assert any(part in problem.msg for part in text.split("|"))


@needs_mailers
def test_a_mailer_that_can_enqueue_is_no_error():
    with mailers(mailer="smtp"):
        assert list(check_mailers()) == []
    with override_settings(MAILERS={"default": {"BACKEND": "gone.EmailBackend"}}):
        assert list(check_mailers()) == []


@pytest.mark.usefixtures("mailers")
class TestErrorReports:
    """The tests that `mailers` gives a queueing default mailer."""

    def test_reports_by_a_mailer_that_enqueues_are_a_warning(self, settings):
        settings.ADMINS = ["boss@example.com"]

        (problem,) = check_error_reports()  # of Django's own handler

        assert problem.id == "offload.W032"

    def test_nobody_to_report_to_is_no_warning(self, settings):
        settings.ADMINS = []

        assert list(check_error_reports()) == []

    def test_reports_that_are_sent_at_once_are_no_warning(self, settings):
        settings.ADMINS = ["boss@example.com"]
        django = logging.getLogger("django")
        handlers, django.handlers = django.handlers, []
        at_once = {"using": "smtp"} if HAS_MAILERS else {"email_backend": SMTP_BACKEND}
        try:
            with handling(AdminEmailHandler(**at_once), "django"):
                assert list(check_error_reports()) == []
        finally:
            django.handlers = handlers
