"""A real SMTP server that does as it is told, and mailers that lead to it."""

import asyncio
import socket
from collections import deque
from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from django import VERSION
from django.core import mail

SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
HAS_MAILERS = VERSION >= (6, 1)


class Inbox:
    """What the server received, and what it shall answer before it accepts.

    An answer is SMTP's text, or "drop": the server hangs up without a word.
    """

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.answers: dict[str, deque[str]] = {}
        self.host = "127.0.0.1"
        self.port = 0

    def will_answer(self, command: str, *answers: str) -> None:
        self.answers[command] = deque(answers)

    @property
    def contents(self) -> list[bytes]:
        return [bytes(envelope.original_content) for envelope in self.envelopes]

    def _answer(self, server: SMTP, *commands: str) -> str:
        for command in commands:
            if self.answers.get(command):
                answer = self.answers[command].popleft()
                if answer == "drop":
                    server.transport.abort()
                    raise asyncio.CancelledError
                return answer
        return ""

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        answer = self._answer(server, "MAIL")
        if not answer:
            envelope.mail_from = address
        return answer or "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        answer = self._answer(server, f"RCPT {address}", "RCPT")
        if not answer:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if not self.answers.get("DATA"):
            self.envelopes.append(envelope)
        refused = self._answer(server, "DATA")
        return refused or self._answer(server, "after DATA") or "250 OK"

    async def handle_QUIT(self, server, session, envelope):  # noqa: N802
        return self._answer(server, "QUIT") or "221 Bye"

    async def handle_RSET(self, server, session, envelope):  # noqa: N802
        return "250 OK"


class Server(Controller):
    """A server on a port that is free for certain: it is bound before it is known."""

    def _create_server(self):
        listener = socket.create_server((self.hostname, 0))
        self.port = listener.getsockname()[1]
        return self.loop.create_server(self._factory_invoker, sock=listener)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    server = Server(
        inbox,
        hostname=inbox.host,
        server_hostname="mx.test",
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=False, handled=False),
    )
    server.start()
    inbox.port = server.port
    yield inbox
    server.stop()


@pytest.fixture
def mailers(settings, inbox):
    """E-mail is queued, and sent to the inbox."""
    if HAS_MAILERS:
        options = {"host": inbox.host, "port": inbox.port, "timeout": 10}
        settings.MAILERS = {
            "default": {"BACKEND": "offload.mail.EmailBackend", "OPTIONS": {"mailer": "smtp"}},
            "smtp": {"BACKEND": SMTP_BACKEND, "OPTIONS": options},
        }
    else:
        settings.EMAIL_BACKEND = "offload.mail.EmailBackend"
        settings.EMAIL_HOST = inbox.host
        settings.EMAIL_PORT = inbox.port
        settings.EMAIL_TIMEOUT = 10


@pytest.fixture
def smtp(mailers):
    """Django's own mailer, to the inbox."""
    return mail.mailers["smtp"] if HAS_MAILERS else mail.get_connection(SMTP_BACKEND)
