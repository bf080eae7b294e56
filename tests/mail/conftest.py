"""A real SMTP server whose replies a test chooses, and mailers that connect to it."""

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
    """The messages that the server received, and the replies that a test chose.

    A reply is SMTP's text, or "drop": the server closes the connection without a reply.
    """

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.replies: dict[str, deque[str]] = {}
        self.host = "127.0.0.1"
        self.port = 0

    def will_reply(self, command: str, *replies: str) -> None:
        self.replies[command] = deque(replies)

    @property
    def contents(self) -> list[bytes]:
        return [bytes(envelope.original_content) for envelope in self.envelopes]

    def _reply(self, server: SMTP, *commands: str) -> str:
        for command in commands:
            if self.replies.get(command):
                reply = self.replies[command].popleft()
                if reply == "drop":
                    server.transport.abort()
                    raise asyncio.CancelledError
                return reply
        return ""

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        reply = self._reply(server, "MAIL")
        if not reply:
            envelope.mail_from = address
        return reply or "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        reply = self._reply(server, f"RCPT {address}", "RCPT")
        if not reply:
            envelope.rcpt_tos.append(address)
        return reply or "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if not self.replies.get("DATA"):
            self.envelopes.append(envelope)
        reply = self._reply(server, "DATA")
        return reply or self._reply(server, "after DATA") or "250 OK"

    async def handle_QUIT(self, server, session, envelope):  # noqa: N802
        return self._reply(server, "QUIT") or "221 Bye"

    async def handle_RSET(self, server, session, envelope):  # noqa: N802
        return "250 OK"


class Server(Controller):
    """An SMTP server on a free port, which it binds before the port is read."""

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
    """Enqueue email; its jobs send it to the inbox."""
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
    """Return Django's own mailer, which sends to the inbox."""
    return mail.mailers["smtp"] if HAS_MAILERS else mail.get_connection(SMTP_BACKEND)
