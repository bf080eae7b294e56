"""A mail server that stores every message it receives."""

import asyncio
from email.message import Message as Letter
from pathlib import Path
from threading import Thread
from typing import Self
from uuid import uuid4

from aiosmtpd.handlers import Message
from aiosmtpd.smtp import SMTP

from support.listening_socket import listen


class MessageStore(Message):
    """Writes each message to a file, in one folder per newsletter."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def handle_message(self, message: Letter) -> None:
        """Store one message."""
        folder = self.folder / str(int(message["X-Newsletter"]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{uuid4()}.eml").write_bytes(message.as_bytes())


class MailServer:
    """The server, on a free loopback port, in its own thread."""

    def __init__(self, folder: Path) -> None:
        self.store = MessageStore(folder)
        self.listener = listen(0)
        self.port = self.listener.getsockname()[1]
        self.loop = asyncio.new_event_loop()
        self.thread = Thread(target=self.serve, name="mail-server")

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def serve(self) -> None:
        """Receive messages until the loop is stopped."""
        with self.listener:
            answer = self.loop.create_server(self.greet, sock=self.listener)
            self.loop.run_until_complete(answer)
            self.loop.run_forever()

    def greet(self) -> SMTP:
        """Return the protocol for a new connection."""
        # Without a hostname it would query the DNS at every connection.
        return SMTP(self.store, hostname="localhost", loop=self.loop)
