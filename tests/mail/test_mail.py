"""Email is enqueued by `send_mail()` and sent by its job."""

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
from tests.mail.test_message import without_generated_parts

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mailers")]
needs_mailers = pytest.mark.skipif(not HAS_MAILERS, reason="Django 6.0 has no MAILERS")


def enqueue_with(settings, backend: str, **options: Any) -> None:
    """Enqueue email with another class, or with other options."""
    if HAS_MAILERS:
        entry = {"BACKEND": backend, "OPTIONS": options}
        settings.MAILERS = {**settings.MAILERS, "default": entry}
    else:
        settings.EMAIL_BACKEND = backend


def mailer() -> Any:
    """Return the mailer that `send()` uses."""
    return mail.mailers["default"] if HAS_MAILERS else mail.get_connection()


def run(job: Job) -> Any:
    """Run one attempt of a job."""
    args, kwargs = decode(job.arguments)
    return find_task(job.task_path).call(*args, **kwargs)


def test_a_message_is_a_job_until_it_is_sent(inbox):
    assert simple().send() == 1

    assert inbox.envelopes == []
    assert run(Job.objects.get()) == {"sent": 1, "refused": {}}
    assert len(inbox.envelopes) == 1


@pytest.mark.parametrize("make", messages.ALL)
def test_the_server_receives_what_djangos_mailer_sends(inbox, smtp, make):
    smtp.send_messages([make()])
    make().send()
    run(Job.objects.get())

    direct, enqueued = inbox.envelopes
    assert without_generated_parts(enqueued.original_content) == without_generated_parts(
        direct.original_content
    )
    assert enqueued.mail_from == direct.mail_from
    assert enqueued.rcpt_tos == direct.rcpt_tos


def test_every_attempt_sends_the_same_message(inbox):
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


def test_each_message_of_a_mass_mail_is_sent_once(inbox):
    send_mass_mail([("Hello", "x", "s@example.com", [f"{n}@example.org"]) for n in range(3)])
    inbox.will_reply("RCPT 1@example.org", "450 Later")
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


def test_a_message_without_recipients_creates_no_job():
    assert mailer().send_messages([EmailMessage("Hello", "x"), simple()]) == 1

    assert Job.objects.count() == 1


def test_no_messages_need_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert mailer().send_messages([]) == 0


def test_a_rollback_removes_the_message():
    with transaction.atomic():
        simple().send()
        transaction.set_rollback(True)

    assert not Job.objects.exists()


def test_a_forbidden_header_is_refused_at_once():
    with pytest.raises(ValueError, match="linefeed"):
        send_mail("Hello\nBcc: victim@example.org", "x", "s@example.com", ["a@example.org"])


def test_a_message_that_is_too_large_is_refused_with_alternatives():
    message = simple()
    message.attach("film.bin", bytes(2 * 1024**2))

    with pytest.raises(InvalidArguments, match=r"(?s)'Hello' needs 2,79\d,\d{3} bytes.*Link to"):
        message.send()


def test_the_alias_of_the_mailer_is_stored():
    simple().send()

    _, kwargs = decode(Job.objects.get().arguments)
    assert kwargs == {"mailer": "default" if HAS_MAILERS else None}


def test_the_task_is_found_by_its_stored_path():
    simple().send()

    assert Job.objects.get().task_path == "offload.mail.tasks.send_message"
    assert find_task("offload.mail.tasks.send_message") is send_message


# --- retries -------------------------------------------------------------------------------


def test_only_temporary_failures_are_retried(inbox):
    simple().send()
    job = Job.objects.get()
    inbox.will_reply("DATA", "451 Later", "554 Never")

    with pytest.raises(send_message.retry_on):
        run(job)
    with pytest.raises(Exception, match="Never") as caught:
        run(job)

    assert job.max_attempts == 10
    assert not isinstance(caught.value, send_message.retry_on)


def test_temporarily_refused_recipients_get_their_own_job(inbox):
    message = EmailMessage("Hello", "x", "s@example.com", [f"{name}@example.org" for name in "abc"])
    message.send()
    inbox.will_reply("RCPT b@example.org", "450 Greylisted")
    inbox.will_reply("RCPT c@example.org", "550 Unknown")

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


def test_a_subclass_adds_temporary_errors_of_its_provider(settings, monkeypatch):
    if HAS_MAILERS:
        settings.MAILERS = {
            **settings.MAILERS,
            "provider": {"BACKEND": Provider.__module__ + ".Provider"},
        }
    enqueue_with(settings, "tests.mail.backends.RetriesProviderErrors")
    simple().send()
    job = Job.objects.get()

    monkeypatch.setattr(Provider, "error", ProviderIsBusy("503"))
    with pytest.raises(TemporaryFailure, match="503"):
        run(job)
    monkeypatch.setattr(Provider, "error", None)
    monkeypatch.setattr(Provider, "sent", [])
    run(job)

    assert [message.subject for message in Provider.sent] == ["Hello"]


# --- fail_silently -------------------------------------------------------------------------


def silent() -> Any:
    silent_mailer = mailer()
    silent_mailer.fail_silently = True
    return silent_mailer


def test_a_message_that_cannot_be_enqueued_fails_silently_with_fail_silently():
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


def test_a_database_error_is_raised_without_fail_silently():
    message = simple()

    with (
        pytest.raises(QueueUnavailable),
        transaction.atomic(),
        connection.execute_wrapper(broken_insert),
    ):
        message.send()


# --- options -------------------------------------------------------------------------------


def test_a_subclass_may_set_options(settings):
    enqueue_with(settings, "tests.mail.backends.QueueInMail")

    simple().send()

    assert Job.objects.get().queue_name == "mail"


@needs_mailers
def test_mailers_may_set_options(settings):
    settings.TASKS = {"default": settings.TASKS["default"], "second": settings.TASKS["default"]}
    enqueue_with(
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
    enqueue_with(settings, "offload.mail.EmailBackend", **options)

    with pytest.raises(ImproperlyConfigured, match=complaint):
        simple().send()


@needs_mailers
def test_a_mailer_that_enqueues_cannot_send_for_another(settings):
    settings.MAILERS = {
        **settings.MAILERS,
        "second": {"BACKEND": "offload.mail.EmailBackend", "OPTIONS": {"mailer": "default"}},
    }
    simple().send(using="second")

    with pytest.raises(ImproperlyConfigured, match="'default' enqueues email, too"):
        run(Job.objects.get())


@needs_mailers
def test_each_mailer_sends_through_its_own_mailer(settings, inbox):
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


def test_an_unknown_queue_is_refused_when_a_message_is_sent(settings, monkeypatch):
    monkeypatch.setattr(EmailBackend, "queue_name", "post")

    with pytest.raises(InvalidTask, match="Queue 'post' is not valid"):
        simple().send()


def test_a_password_is_not_stored_in_the_queue():
    with pytest.raises(ImproperlyConfigured, match="would be stored in the queue"):
        EmailBackend(username="ann", password="secret")


def test_a_job_is_sent_after_its_mailer_stopped_enqueueing(settings, inbox):
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
