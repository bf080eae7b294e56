"""A mail server that keeps what it receives."""

import asyncio
from email.message import Message as Letter
from pathlib import Path
from threading import Thread
from typing import Self
from uuid import uuid4

from aiosmtpd.handlers import Message
from aiosmtpd.smtp import SMTP

from stage.listener import listen


class Postman(Message):
    """Writes each message to a file, in one folder per newsletter."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def handle_message(self, message: Letter) -> None:
        """Keep one message."""
        folder = self.folder / str(int(message["X-Newsletter"]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{uuid4()}.eml").write_bytes(message.as_bytes())


class Mailbox:
    """The server, on a free port of this machine, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.postman = Postman(folder)
        self.listener = listen(0)
        self.port = self.listener.getsockname()[1]
        self.loop = asyncio.new_event_loop()
        self.thread = Thread(target=self.serve, name="mailbox")

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
        """Begin a conversation with a sender."""
        # With a name given it does not ask the DNS for one at every connection.
        return SMTP(self.postman, hostname="localhost", loop=self.loop)
