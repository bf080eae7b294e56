"""The shop's web server, with the engine inside, in a process of its own."""

import multiprocessing
from contextlib import suppress
from socket import socket
from threading import Thread
from typing import TYPE_CHECKING, Self

from stage.listener import listen

if TYPE_CHECKING:
    from uvicorn import Server

SPAWN = multiprocessing.get_context("spawn")
GRACE = 60
"""Seconds the server has to finish what it is doing."""


class Website:
    """The server as the one who opens it sees it: an address and a process."""

    def __init__(self, port: int) -> None:
        self.listener = listen(port)
        self.address = "http://{}:{}/".format(*self.listener.getsockname())
        self.process = SPAWN.Process(target=serve, args=(self.listener,), name="website")

    def __enter__(self) -> Self:
        with self.listener:
            self.process.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        with suppress(KeyboardInterrupt):  # who interrupts again is in a hurry
            self.process.join(GRACE)
        self.process.kill()


def serve(listener: socket) -> None:
    """Be the web server, until a signal or the end of the parent process."""
    with suppress(KeyboardInterrupt):
        import uvicorn  # noqa: PLC0415  # an interrupt may come while it is imported

        config = uvicorn.Config("shop.asgi:application", lifespan="on", log_level="warning")
        server = uvicorn.Server(config)
        Thread(target=stop_with_parent, args=(server,), daemon=True).start()
        server.run(sockets=[listener])


def stop_with_parent(server: "Server") -> None:
    """End the server when the process that started it has ended, however it did."""
    if parent := multiprocessing.parent_process():
        parent.join()
        server.should_exit = True
