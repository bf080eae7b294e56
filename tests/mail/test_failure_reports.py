"""A mail that cannot be sent is reported by one mail, which reports nothing more."""

import logging

import pytest
from django.core.mail import mail_managers, send_mail
from django.tasks.signals import task_finished
from django.utils.log import AdminEmailHandler

from tests.failing_tasks import fail
from tests.failure_reports import handling, receiving, run_all

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mailers", "admins")]


@pytest.fixture
def admins(settings):
    settings.ADMINS = settings.MANAGERS = ["boss@example.com"]
    settings.DEBUG = False


def send() -> None:
    send_mail("hello", "x", "shop@example.com", ["nobody@example.com"])


def test_a_mail_that_is_refused_is_reported_by_one_mail(inbox, capsys):
    inbox.will_reply("RCPT", *["550 No such user"] * 1000)

    send()  # Django's own handler mails the admins
    counts = run_all()

    assert counts == {"send_message": 2}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("An email was not enqueued. The job ")


@pytest.mark.parametrize("reply", ["250 OK", "550 No such user"])
@pytest.mark.parametrize("logger", ["django", "offload"])
def test_a_handler_that_mails_each_record_ends_too(inbox, reply, logger):
    inbox.will_reply("RCPT", *[reply] * 1000)

    with handling(AdminEmailHandler(), logger, level=logging.INFO):
        send()
        counts = run_all()

    assert 1 <= counts["send_message"] <= 12


def test_a_refused_recipient_is_reported_by_one_mail(inbox, settings):
    inbox.will_reply("RCPT", *["250 OK", "550 No such user"] * 1000)
    settings.ADMINS = ["boss@example.com", "deputy@example.com"]

    with handling(AdminEmailHandler(), "offload", level=logging.WARNING):
        send_mail("hello", "x", "shop@example.com", ["a@example.com", "b@example.com"])
        counts = run_all()

    assert counts == {"send_message": 2}


def test_a_receiver_that_mails_the_managers_is_not_heard_again(inbox, settings):
    settings.ADMINS = []
    inbox.will_reply("RCPT", *["550 No such user"] * 1000)

    def receiver(**_):
        mail_managers("A job failed", "x")

    with receiving(task_finished, receiver):
        send()
        counts = run_all()

    assert counts == {"send_message": 2}


def test_the_failure_of_another_job_is_reported_and_its_report_once(inbox):
    inbox.will_reply("RCPT", *["550 No such user"] * 1000)
    fail.enqueue()

    counts = run_all()

    assert counts == {"fail": 1, "send_message": 1}


def test_a_mail_that_is_accepted_reports_its_job(inbox):
    fail.enqueue()

    counts = run_all()

    assert counts == {"fail": 1, "send_message": 1}
    assert b"Task id=" in inbox.contents[0]
