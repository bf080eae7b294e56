"""One try at sending one message: what became of it, and whether to try again.

An SMTP server takes responsibility for a message when it answers the end of its data. Before
that nothing was sent and a broken connection does no harm. After it nothing may be sent again,
whatever happens to the connection. Between the two nobody knows.
"""

from __future__ import annotations

import errno
import logging
import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.mail.backends.smtp import EmailBackend as SmtpBackend

from offload.exceptions import JobError, JobTimeout

logger = logging.getLogger("offload.mail")

LONGEST_SILENCE = 600.0
"""Seconds to wait for a server that says nothing: RFC 5321, 4.5.3.2.6, the longest there."""

type Refusals = dict[str, tuple[int, bytes]]
"""From a recipient to the server's answer."""


class TemporaryFailure(JobError):
    """The message was not sent; the same message may be accepted later."""


class MaybeSent(JobError):
    """The connection broke when nobody can tell whether the server has taken the message."""


@dataclass(slots=True)
class Delivery:
    """What became of a message that was sent.

    Attributes:
        sent: what the mailer said it has sent, in messages.
        refused: recipients that the server did not accept, while it accepted others.
    """

    sent: int | None = None
    refused: Refusals = field(default_factory=dict)


def deliver(connection: Any, message: Any, is_temporary: Callable[[Exception], bool]) -> Delivery:
    """Send a message over a connection of its own.

    Args:
        connection: the mailer that really sends.
        message: the message.
        is_temporary: tells whether a message that was not sent may be accepted later.

    Raises:
        TemporaryFailure: it was not sent; later it may be.
        MaybeSent: it may have been sent.
        Exception: it was not sent and would not be later.
    """
    progress = Progress()
    delivery = Delivery()
    try:
        _limit_silence(connection)
        connection.open()
        progress.watch(connection)
        delivery.sent = connection.send_messages([message])
    except (Exception, JobTimeout) as error:
        if not progress.is_accepted:
            _judge(error, progress, is_temporary)
        logger.warning("An e-mail was sent, but then: %s", answer(error), exc_info=True)
        delivery.sent = 1
    finally:
        _close(connection)
    delivery.refused = progress.refused
    return delivery


def is_temporary(error: BaseException) -> bool:
    """Tell whether a message that was not sent because of `error` may be accepted later."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(is_temporary_code(code) for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPConnectError):
        return not 500 <= error.smtp_code <= 599
    if isinstance(error, smtplib.SMTPResponseException):
        return is_temporary_code(error.smtp_code)
    if isinstance(error, (*BROKEN, socket.gaierror)):
        return True
    return isinstance(error, OSError) and error.errno in UNREACHABLE


def is_temporary_code(code: int) -> bool:
    """Tell whether an SMTP answer means "not now"."""
    return 400 <= code <= 499


def answer(error: BaseException) -> str:
    """Return what the server said, in one line."""
    if isinstance(error, smtplib.SMTPResponseException):
        return readable((error.smtp_code, error.smtp_error))
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        lines = (f"{to}: {readable(said)}" for to, said in error.recipients.items())
        return "; ".join(lines)
    return f"{type(error).__name__}: {error}"


def readable(said: tuple[int, bytes | str]) -> str:
    """Return an SMTP answer as text."""
    code, text = said
    return f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"


class Progress:
    """How far a message came, which the exceptions of smtplib do not tell.

    Attributes:
        may_be_accepted: the server has got the whole message, or nobody can tell.
        is_accepted: the server has answered that it has taken it.
        refused: recipients that it did not accept; Django's backend does not pass them on.
    """

    def __init__(self) -> None:
        self.may_be_accepted = False
        self.is_accepted = False
        self.refused: Refusals = {}

    def watch(self, connection: Any) -> None:
        """Listen to an open connection; one that does not use smtplib tells nothing."""
        smtp = getattr(connection, "connection", None)
        if isinstance(smtp, smtplib.SMTP):
            self._listen(smtp)
        else:
            self.may_be_accepted = True

    def _listen(self, smtp: Any) -> None:
        send, sendmail = smtp.send, smtp.sendmail

        def noting_send(data: bytes | str) -> None:
            send(data)
            if isinstance(data, bytes) and data.endswith(END_OF_DATA):
                self.may_be_accepted = True

        def noting_sendmail(*args: Any, **kwargs: Any) -> Refusals:
            refused: Refusals = sendmail(*args, **kwargs)
            self.is_accepted = True
            self.refused.update(refused)
            return refused

        smtp.send, smtp.sendmail = noting_send, noting_sendmail


END_OF_DATA = b"\r\n.\r\n"
BROKEN = (
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


def _judge(
    error: Exception | JobTimeout, progress: Progress, is_temporary: Callable[[Any], bool]
) -> None:
    """Raise what a failure means."""
    broken = isinstance(error, BROKEN) and not isinstance(error, ConnectionRefusedError)
    if broken and progress.may_be_accepted:
        raise MaybeSent(
            f"The connection broke ({answer(error)}) after the whole message was handed over. It "
            "may have been sent, so it is not sent again. Retry the job if it did not arrive."
        ) from error
    if is_temporary(error):
        raise TemporaryFailure(answer(error)) from error
    raise error


def _limit_silence(connection: Any) -> None:
    """Keep a server that says nothing from holding a worker for ever."""
    if isinstance(connection, SmtpBackend) and connection.timeout is None:
        connection.timeout = LONGEST_SILENCE


def _close(connection: Any) -> None:
    try:
        connection.close()
    except Exception:  # what became of the message is known by now
        logger.info("Closing the connection of a mailer failed.", exc_info=True)
