"""Sends one message, and decides whether to retry it after an error.

An SMTP server accepts a message when it replies to the end of the data. If the connection breaks
before the end of the data, nothing was sent and the message can be retried. After the reply the
message must not be sent again, even if the connection breaks. In between, it is unknown whether
the server accepted the message.
"""

from __future__ import annotations

import errno
import logging
import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from django.core.mail.backends.smtp import EmailBackend as SmtpBackend

from offload.exceptions import JobError, JobTimeout

logger = logging.getLogger("offload.mail")

SMTP_TIMEOUT_SECONDS = 600.0
"""Maximum wait for a reply of the server: the longest timeout of RFC 5321, section 4.5.3.2.6."""

type Reply = tuple[int, bytes | str]
"""Code and text of an SMTP server's reply."""

type Refusals = dict[str, tuple[int, bytes]]
"""The server's reply for each recipient it refused."""


class TemporaryFailure(JobError):
    """The message was not sent; the server may accept it later."""


class MaybeSent(JobError):
    """The connection broke and it is unknown whether the server accepted the message."""


@dataclass(slots=True)
class Delivery:
    """The result of sending a message.

    Attributes:
        sent: number of messages that the mailer reports as sent.
        refused: recipients that the server refused while it accepted others.
    """

    sent: int | None = None
    refused: Refusals = field(default_factory=dict)


def deliver(connection: Any, message: Any, is_temporary: Callable[[Exception], bool]) -> Delivery:
    """Send a message over its own connection.

    Args:
        connection: the mailer that sends.
        message: the message.
        is_temporary: returns True for an error after which the message should be retried.

    Raises:
        TemporaryFailure: the message was not sent; a later attempt may succeed.
        MaybeSent: the message may have been sent.
        Exception: the message was not sent; a later attempt would fail, too.
    """
    transaction = SmtpTransaction()
    delivery = Delivery()
    try:
        _set_timeout(connection)
        connection.open()
        transaction.observe(connection)
        delivery.sent = connection.send_messages([message])
    except (Exception, JobTimeout) as error:
        if not transaction.is_accepted:
            _raise_failure(error, transaction, is_temporary)
        logger.warning(
            "An error occurred after the email had been sent: %s",
            describe_error(error),
            exc_info=True,
        )
        delivery.sent = 1
    finally:
        _close(connection)
    delivery.refused = transaction.refused
    return delivery


def is_temporary(error: BaseException) -> bool:
    """Return True if a message that was not sent because of `error` may be accepted later."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(is_temporary_code(code) for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPConnectError):
        return not 500 <= error.smtp_code <= 599
    if isinstance(error, smtplib.SMTPResponseException):
        return is_temporary_code(error.smtp_code)
    if isinstance(error, (*BROKEN_CONNECTION, socket.gaierror)):
        return True
    return isinstance(error, OSError) and error.errno in UNREACHABLE


def is_temporary_code(code: int) -> bool:
    """Return True for an SMTP reply code that means a temporary failure."""
    return 400 <= code <= 499


def describe_error(error: BaseException) -> str:
    """Return the server's reply, or else the error, in one line."""
    if isinstance(error, smtplib.SMTPResponseException):
        return format_reply((error.smtp_code, error.smtp_error))
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(
            f"{recipient}: {format_reply(reply)}" for recipient, reply in error.recipients.items()
        )
    return f"{type(error).__name__}: {error}"


def format_reply(reply: Reply) -> str:
    """Return an SMTP reply as text."""
    code, text = reply
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return f"{code} {text}"


class SmtpTransaction:
    """How far the sending of a message got, which smtplib's exceptions do not say.

    Attributes:
        may_be_accepted: whether the server may have received the whole message.
        is_accepted: whether the server replied that it accepted the message.
        refused: recipients that the server refused; Django's SMTP backend drops them.
    """

    def __init__(self) -> None:
        self.may_be_accepted = False
        self.is_accepted = False
        self.refused: Refusals = {}

    def observe(self, connection: Any) -> None:
        """Record the steps of an open connection; without smtplib they are unknown."""
        smtp = getattr(connection, "connection", None)
        if isinstance(smtp, smtplib.SMTP):
            self._wrap(smtp)
        else:
            self.may_be_accepted = True

    def _wrap(self, smtp: Any) -> None:
        send, sendmail = smtp.send, smtp.sendmail

        def observed_send(data: bytes | str) -> None:
            send(data)
            if isinstance(data, bytes) and data.endswith(END_OF_DATA):
                self.may_be_accepted = True

        def observed_sendmail(*args: Any, **kwargs: Any) -> Refusals:
            refused: Refusals = sendmail(*args, **kwargs)
            self.is_accepted = True
            self.refused.update(refused)
            return refused

        smtp.send, smtp.sendmail = observed_send, observed_sendmail


END_OF_DATA = b"\r\n.\r\n"
"""Marks the end of a message in SMTP."""
BROKEN_CONNECTION = (
    smtplib.SMTPServerDisconnected,
    ConnectionError,
    TimeoutError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    JobTimeout,
)
UNREACHABLE = {
    errno.EADDRNOTAVAIL,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
}


def _raise_failure(
    error: Exception | JobTimeout,
    transaction: SmtpTransaction,
    is_temporary: Callable[[Any], bool],
) -> NoReturn:
    """Raise MaybeSent, TemporaryFailure, or the error itself."""
    is_broken = isinstance(error, BROKEN_CONNECTION)
    is_refused = isinstance(error, ConnectionRefusedError)
    if is_broken and not is_refused and transaction.may_be_accepted:
        raise MaybeSent(
            f"The connection broke ({describe_error(error)}) after the whole message had been "
            "transmitted. It may have been sent, so it is not retried. Retry the job if the "
            "message did not arrive."
        ) from error
    if is_temporary(error):
        raise TemporaryFailure(describe_error(error)) from error
    raise error


def _set_timeout(connection: Any) -> None:
    """Limit the time for which a server that does not reply can block a worker."""
    if isinstance(connection, SmtpBackend) and connection.timeout is None:
        connection.timeout = SMTP_TIMEOUT_SECONDS


def _close(connection: Any) -> None:
    try:
        connection.close()
    except Exception:  # whether the message was sent is already known
        logger.info("Error while closing the mailer's connection.", exc_info=True)
