"""From `send_mail()` to the server and back."""

import subprocess
import sys
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, send_mail, send_mass_mail
from django.db import connection, transaction
from django.tasks.exceptions import InvalidTask
from django.utils import timezone

from offload.exceptions import InvalidArguments, QueueUnavailable
from offload.mail import EmailBackend, TemporaryFailure, send_message
from offload.models import Job
from offload.serialization import decode
from offload.task_lookup import find_task
from tests.mail import messages
from tests.mail.backends import Provider, ProviderIsBusy
from tests.mail.conftest import HAS_MAILERS, SMTP_BACKEND
from tests.mail.messages import simple
from tests.mail.test_message import without_chance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mailers")]
needs_mailers = pytest.mark.skipif(not HAS_MAILERS, reason="Django 6.0 has no MAILERS")


def queued_by(settings, backend: str, **options: Any) -> None:
    """E-mail is queued by another class, or with other options."""
    if HAS_MAILERS:
        entry = {"BACKEND": backend, "OPTIONS": options}
        settings.MAILERS = {**settings.MAILERS, "default": entry}
    else:
        settings.EMAIL_BACKEND = backend


def mailer() -> Any:
    """Return the mailer that `send()` uses."""
    return mail.mailers["default"] if HAS_MAILERS else mail.get_connection()


def run(job: Job) -> Any:
    """Make one attempt at a job."""
    args, kwargs = decode(job.arguments)
    return find_task(job.task_path).call(*args, **kwargs)


def test_a_message_waits_as_a_job_until_it_is_sent(inbox):
    assert simple().send() == 1

    assert inbox.envelopes == []
    assert run(Job.objects.get()) == {"sent": 1, "refused": {}}
    assert len(inbox.envelopes) == 1


@pytest.mark.parametrize("make", messages.ALL)
def test_what_arrives_is_what_djangos_mailer_sends(inbox, smtp, make):
    smtp.send_messages([make()])
    make().send()
    run(Job.objects.get())

    at_once, queued = inbox.envelopes
    assert without_chance(queued.original_content) == without_chance(at_once.original_content)
    assert queued.mail_from == at_once.mail_from
    assert queued.rcpt_tos == at_once.rcpt_tos


def test_an_attempt_sends_the_message_of_the_attempt_before(inbox):
    messages.attachments().send()
    job = Job.objects.get()
    run(job)
    run(job)

    assert inbox.contents[0] == inbox.contents[1]


def test_a_mass_mail_is_one_statement_and_a_job_each(django_assert_num_queries):
    mails = [("Hello", "x", "s@example.com", [f"{n}@example.org"]) for n in range(20)]

    with django_assert_num_queries(1):
        assert send_mass_mail(mails) == 20

    assert Job.objects.count() == 20


def test_a_mass_mail_arrives_once_each(inbox):
    send_mass_mail([("Hello", "x", "s@example.com", [f"{n}@example.org"]) for n in range(3)])
    inbox.will_answer("RCPT 1@example.org", "450 Later")
    failed = []

    for job in Job.objects.order_by("pk"):
        try:
            run(job)
        except TemporaryFailure:
            failed.append(job)
    for job in failed:
        run(job)

    arrived = [envelope.rcpt_tos[0] for envelope in inbox.envelopes]
    assert arrived == ["0@example.org", "2@example.org", "1@example.org"]


def test_a_message_to_nobody_is_no_job():
    assert mailer().send_messages([EmailMessage("Hello", "x"), simple()]) == 1

    assert Job.objects.count() == 1


def test_nothing_to_send_is_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert mailer().send_messages([]) == 0


def test_a_rollback_takes_the_message_back():
    with transaction.atomic():
        simple().send()
        transaction.set_rollback(True)

    assert not Job.objects.exists()


def test_a_forbidden_header_is_refused_at_once():
    with pytest.raises(ValueError, match="linefeed"):
        send_mail("Hello\nBcc: victim@example.org", "x", "s@example.com", ["a@example.org"])


def test_a_message_that_is_too_large_is_refused_with_a_way_out():
    message = simple()
    message.attach("film.bin", bytes(2 * 1024**2))

    with pytest.raises(InvalidArguments, match=r"(?s)'Hello' needs 2,79\d,\d{3} bytes.*Link to"):
        message.send()


def test_the_mailer_is_stored_and_no_path():
    simple().send()

    _, kwargs = decode(Job.objects.get().arguments)
    assert kwargs == {"mailer": "default" if HAS_MAILERS else None}


def test_the_task_is_found_under_its_public_name():
    simple().send()

    assert Job.objects.get().task_path == "offload.mail.tasks.send_message"
    assert find_task("offload.mail.tasks.send_message") is send_message


# --- what is tried again -------------------------------------------------------------------


def test_only_what_may_succeed_later_is_tried_again(inbox):
    simple().send()
    job = Job.objects.get()
    inbox.will_answer("DATA", "451 Later", "554 Never")

    with pytest.raises(send_message.retry_on):
        run(job)
    with pytest.raises(Exception, match="Never") as caught:
        run(job)

    assert job.max_attempts == 10
    assert not isinstance(caught.value, send_message.retry_on)


def test_recipients_refused_for_now_get_a_job_of_their_own(inbox):
    message = EmailMessage("Hello", "x", "s@example.com", [f"{name}@example.org" for name in "abc"])
    message.send()
    inbox.will_answer("RCPT b@example.org", "450 Greylisted")
    inbox.will_answer("RCPT c@example.org", "550 Unknown")

    job = Job.objects.get()
    refused = {"b@example.org": "450 Greylisted", "c@example.org": "550 Unknown"}
    assert run(job) == {"sent": 1, "refused": refused}

    again = Job.objects.exclude(pk=job.pk).get()
    assert again.run_after > timezone.now()
    assert run(again) == {"sent": 1, "refused": {}}
    assert [envelope.rcpt_tos for envelope in inbox.envelopes] == [
        ["a@example.org"],
        ["b@example.org"],
    ]
    assert inbox.contents[0] == inbox.contents[1]


def test_a_subclass_says_what_is_temporary_for_its_provider(settings, monkeypatch):
    if HAS_MAILERS:
        settings.MAILERS = {
            **settings.MAILERS,
            "provider": {"BACKEND": Provider.__module__ + ".Provider"},
        }
    queued_by(settings, "tests.mail.backends.PatientWithProvider")
    simple().send()
    job = Job.objects.get()

    monkeypatch.setattr(Provider, "error", ProviderIsBusy("503"))
    with pytest.raises(TemporaryFailure, match="503"):
        run(job)
    monkeypatch.setattr(Provider, "error", None)
    monkeypatch.setattr(Provider, "sent", [])
    run(job)

    assert [message.subject for message in Provider.sent] == ["Hello"]


# --- silence -------------------------------------------------------------------------------


def silent() -> Any:
    found = mailer()
    found.fail_silently = True
    return found


def test_a_message_that_cannot_be_queued_fails_silently_if_asked():
    message = simple()
    message.attach("film.bin", bytes(2 * 1024**2))

    assert silent().send_messages([message]) == 0


def broken_insert(execute, sql, params, many, context):
    if sql.lstrip().upper().startswith("INSERT"):
        sql, params = "INSERT INTO nowhere VALUES (1)", []
    return execute(sql, params, many, context)


def test_a_silent_failure_leaves_the_callers_transaction_usable():
    with transaction.atomic():
        with connection.execute_wrapper(broken_insert):
            assert silent().send_messages([simple()]) == 0
        simple().send()

    assert Job.objects.count() == 1


def test_a_queue_that_is_not_there_is_told_if_silence_was_not_asked():
    message = simple()

    with (
        pytest.raises(QueueUnavailable),
        transaction.atomic(),
        connection.execute_wrapper(broken_insert),
    ):
        message.send()


# --- options -------------------------------------------------------------------------------


def test_a_subclass_may_set_options(settings):
    queued_by(settings, "tests.mail.backends.QueueInMail")

    simple().send()

    assert Job.objects.get().queue_name == "mail"


@needs_mailers
def test_mailers_may_set_options(settings):
    settings.TASKS = {"default": settings.TASKS["default"], "second": settings.TASKS["default"]}
    queued_by(
        settings,
        "offload.mail.EmailBackend",
        mailer="smtp",
        queue_name="slow",
        task_backend="second",
    )

    simple().send()

    job = Job.objects.get()
    assert (job.queue_name, job.backend) == ("slow", "second")


@needs_mailers
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, r"OPTIONS\['mailer'\] must be the alias"),
        ({"mailer": "smpt"}, "not 'smpt'. Did you mean 'smtp'"),
        ({"mailer": "default"}, "not 'default'"),
        ({"mailer": "smtp", "queue": "mail"}, "Unknown options 'queue'"),
    ],
)
def test_a_wrong_option_is_named(settings, options, complaint):
    queued_by(settings, "offload.mail.EmailBackend", **options)

    with pytest.raises(ImproperlyConfigured, match=complaint):
        simple().send()


@needs_mailers
def test_two_mailers_that_queue_do_not_queue_for_ever(settings):
    settings.MAILERS = {
        **settings.MAILERS,
        "second": {"BACKEND": "offload.mail.EmailBackend", "OPTIONS": {"mailer": "default"}},
    }
    simple().send(using="second")

    with pytest.raises(ImproperlyConfigured, match="'default' enqueues email, too"):
        run(Job.objects.get())


@needs_mailers
def test_each_mailer_sends_through_its_own(settings, inbox):
    settings.MAILERS = {
        **settings.MAILERS,
        "memory": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"},
        "second": {"BACKEND": "offload.mail.EmailBackend", "OPTIONS": {"mailer": "memory"}},
    }
    simple().send(using="second")
    run(Job.objects.get())

    assert [message.sent_using for message in mail.outbox] == ["memory"]
    assert inbox.envelopes == []


@needs_mailers
@pytest.mark.filterwarnings("ignore::django.utils.deprecation.RemovedInDjango2028Warning")
def test_the_old_settings_work_too(settings, inbox):
    del settings.MAILERS
    settings.EMAIL_BACKEND = "offload.mail.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = inbox.host, inbox.port

    simple().send()
    run(Job.objects.get())

    assert len(inbox.envelopes) == 1


def test_an_unknown_queue_is_told_at_once(settings, monkeypatch):
    monkeypatch.setattr(EmailBackend, "queue_name", "post")

    with pytest.raises(InvalidTask, match="Queue 'post' is not valid"):
        simple().send()


def test_a_password_is_not_put_into_the_queue():
    with pytest.raises(ImproperlyConfigured, match="would be stored in the queue"):
        EmailBackend(username="ann", password="secret")


def test_a_mailer_that_does_not_queue_any_more_sends(settings, inbox):
    simple().send()
    if HAS_MAILERS:
        settings.MAILERS = {"default": settings.MAILERS["smtp"]}
    else:
        settings.EMAIL_BACKEND = SMTP_BACKEND

    run(Job.objects.get())

    assert len(inbox.envelopes) == 1


@pytest.mark.parametrize("kind", ["locmem", "console", "filebased", "dummy"])
def test_any_of_djangos_mailers_may_send(settings, kind, tmp_path, capsys):
    path = f"django.core.mail.backends.{kind}.EmailBackend"
    simple().send()
    if HAS_MAILERS:
        options = {"file_path": str(tmp_path)} if kind == "filebased" else {}
        settings.MAILERS = {**settings.MAILERS, "smtp": {"BACKEND": path, "OPTIONS": options}}
    else:
        settings.EMAIL_BACKEND = path
        settings.EMAIL_FILE_PATH = str(tmp_path)

    assert run(Job.objects.get())["sent"] == 1


def test_djangos_immediate_backend_sends_at_once(settings, inbox):
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}

    assert simple().send() == 1

    assert len(inbox.envelopes) == 1


# --- importing -----------------------------------------------------------------------------


def test_importing_needs_no_queue_called_default_and_no_database():
    program = (
        "from django.conf import settings\n"
        "settings.configure(TASKS={'jobs': {"
        "    'BACKEND': 'offload.backends.database.DatabaseBackend', 'QUEUES': ['mail']}})\n"
        "import offload.mail, sys\n"
        "assert not [name for name in sys.modules if name.startswith('offload.models')]\n"
    )

    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], check=False, capture_output=True, text=True
    )

    assert finished.stderr == ""
