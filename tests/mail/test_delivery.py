"""Each failure of an SMTP server leads to the right outcome."""

import errno
import smtplib
import socket
import ssl
import threading

import pytest
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend

from offload.exceptions import JobTimeout
from offload.mail.delivery import (
    SMTP_TIMEOUT_SECONDS,
    MaybeSent,
    TemporaryFailure,
    deliver,
    is_temporary,
)
from offload.mail.message import StoredMessage, serialize_message
from tests.mail.backends import FailsAfterSending, Provider
from tests.mail.messages import attachments, simple


@pytest.fixture
def send(smtp):
    return lambda message=None, using=smtp: deliver(using, message or simple(), is_temporary)


def test_a_message_is_sent(send, inbox):
    delivery = send()

    assert delivery.sent == 1
    assert delivery.refused == {}
    assert len(inbox.envelopes) == 1


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_a_temporary_refusal_is_retried_and_the_message_is_sent_once(send, inbox, command):
    inbox.will_reply(command, "451 4.3.0 Come back later")
    message = StoredMessage(serialize_message(attachments()))

    with pytest.raises(TemporaryFailure, match=r"451 4\.3\.0 Come back later"):
        send(message)
    send(message)

    assert len(inbox.envelopes) == 1


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("MAIL", smtplib.SMTPSenderRefused),
        ("RCPT", smtplib.SMTPRecipientsRefused),
        ("DATA", smtplib.SMTPDataError),
    ],
)
def test_a_permanent_refusal_is_not_retried(send, inbox, command, error):
    inbox.will_reply(command, "554 5.7.1 Go away")

    with pytest.raises(error):
        send()


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
def test_a_connection_that_breaks_before_the_message_is_a_temporary_failure(send, inbox, command):
    inbox.will_reply(command, "drop")

    with pytest.raises(TemporaryFailure):
        send()


def test_a_connection_that_breaks_before_the_reply_to_the_message_is_not_retried(send, inbox):
    inbox.will_reply("after DATA", "drop")

    with pytest.raises(MaybeSent, match="may have been sent"):
        send()

    assert len(inbox.envelopes) == 1


@pytest.mark.parametrize("reply", ["drop", "421 Too busy", "nonsense"])
def test_errors_after_the_message_was_accepted_do_not_matter(send, inbox, reply):
    inbox.will_reply("QUIT", reply)

    assert send().sent == 1


def test_a_mailer_that_fails_after_sending_has_sent(send, inbox, smtp):
    smtp.__class__ = FailsAfterSending

    assert send().sent == 1
    assert len(inbox.envelopes) == 1


def test_if_all_recipients_are_refused_and_one_temporarily_the_failure_is_temporary(send, inbox):
    inbox.will_reply("RCPT a@example.org", "550 Unknown")
    inbox.will_reply("RCPT b@example.org", "450 Busy")
    message = simple()
    message.to = ["a@example.org", "b@example.org"]

    with pytest.raises(TemporaryFailure, match=r"a@.*: 550 Unknown; b@.*: 450 Busy"):
        send(message)


def test_refused_recipients_are_returned_if_others_are_accepted(send, inbox):
    inbox.will_reply("RCPT b@example.org", "450 Busy")
    message = simple()
    message.to = ["a@example.org", "b@example.org"]

    assert send(message).refused == {"b@example.org": (450, b"Busy")}
    assert inbox.envelopes[0].rcpt_tos == ["a@example.org"]


def test_a_wrong_password_is_a_permanent_failure(send, smtp):
    smtp.username, smtp.password = "ann", "wrong"

    with pytest.raises(smtplib.SMTPAuthenticationError):
        send()


def test_a_refused_connection_is_a_temporary_failure(send, smtp):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        smtp.port = closed.getsockname()[1]

    with pytest.raises(TemporaryFailure, match="ConnectionRefusedError"):
        send()


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (b"421 Too busy\r\n", TemporaryFailure),
        (b"", TemporaryFailure),
        (b"554 Not for you\r\n", smtplib.SMTPConnectError),
        (b"220 mx\r\n250 mx\r\n250 OK\r\n250 OK\r\n354 Go on\r\n", TemporaryFailure),
    ],
)
def test_a_server_that_closes_the_connection_early(send, smtp, greeting, error):
    big = simple()
    # More than the socket buffers hold for a server that does not read.
    big.attach("film.bin", bytes(10_000_000))

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.sendall(greeting)
        if b"354" in greeting:
            connection.recv(1000)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        smtp.port = listener.getsockname()[1]
        server = threading.Thread(target=serve, args=[listener])
        server.start()
        with pytest.raises(error):
            send(big)
        server.join()


def test_a_timeout_before_the_message_is_a_temporary_failure(send, smtp):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        smtp.port, smtp.timeout = silent.getsockname()[1], 0.1
        with pytest.raises(TemporaryFailure, match="timed out"):
            send()


def test_a_server_that_does_not_reply_does_not_block_a_worker_indefinitely(send, smtp):
    smtp.timeout = None

    send()

    assert smtp.timeout == SMTP_TIMEOUT_SECONDS


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ConnectionResetError(), MaybeSent),
        (TimeoutError(), MaybeSent),
        (JobTimeout(), MaybeSent),
        (ConnectionRefusedError(), TemporaryFailure),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), TemporaryFailure),
        (ValueError("bad address"), ValueError),
    ],
)
def test_a_provider_does_not_report_how_far_sending_came(send, error, raised):
    provider = Provider()
    provider.error = error

    with pytest.raises(raised):
        send(using=provider)


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPServerDisconnected("gone"),
        smtplib.SMTPConnectError(421, b"busy"),
        smtplib.SMTPConnectError(-1, b"nonsense"),
        smtplib.SMTPHeloError(450, b"later"),
        smtplib.SMTPAuthenticationError(454, b"the password server is down"),
        smtplib.SMTPDataError(452, b"full"),
        smtplib.SMTPRecipientsRefused({"a@b.c": (450, b"later")}),
        ConnectionResetError(),
        TimeoutError(),
        ssl.SSLEOFError(),
        OSError(errno.EHOSTUNREACH, "No route"),
    ],
)
def test_an_error_is_temporary(error):
    assert is_temporary(error)


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPConnectError(554, b"no"),
        smtplib.SMTPAuthenticationError(535, b"wrong"),
        smtplib.SMTPDataError(552, b"too large"),
        smtplib.SMTPDataError(-1, b"nonsense"),
        smtplib.SMTPRecipientsRefused({"a@b.c": (550, b"unknown")}),
        smtplib.SMTPNotSupportedError("STARTTLS"),
        ssl.SSLCertVerificationError("expired"),
        FileNotFoundError("key.pem"),
        OSError("HTTP 400"),
        ValueError("bad address"),
    ],
)
def test_an_error_is_permanent(error):
    assert not is_temporary(error)


def test_a_mailer_is_closed_after_an_error(send, smtp, inbox):
    inbox.will_reply("DATA", "451 Later")

    with pytest.raises(TemporaryFailure):
        send()

    assert isinstance(smtp, SmtpBackend)
    assert smtp.connection is None
