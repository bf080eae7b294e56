"""The shop's web server, which also runs the jobs, in its own process."""

import multiprocessing
from contextlib import suppress
from socket import socket
from threading import Thread
from typing import TYPE_CHECKING, Self

from support.listening_socket import listen

if TYPE_CHECKING:
    from uvicorn import Server

SPAWN = multiprocessing.get_context("spawn")
SHUTDOWN_SECONDS = 60
"""Seconds that the server has to shut down."""


class WebServer:
    """The server: its address and its process."""

    def __init__(self, port: int) -> None:
        self.listener = listen(port)
        self.address = "http://{}:{}/".format(*self.listener.getsockname())
        self.process = SPAWN.Process(target=serve, args=(self.listener,), name="web-server")

    def __enter__(self) -> Self:
        with self.listener:
            self.process.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        with suppress(KeyboardInterrupt):  # a second Ctrl-C skips the wait
            self.process.join(SHUTDOWN_SECONDS)
        self.process.kill()


def serve(listener: socket) -> None:
    """Run the web server until a signal arrives or the parent process exits."""
    with suppress(KeyboardInterrupt):
        import uvicorn  # noqa: PLC0415  # Ctrl-C may arrive during the import

        config = uvicorn.Config("shop.asgi:application", lifespan="on", log_level="warning")
        server = uvicorn.Server(config)
        Thread(target=stop_with_parent, args=(server,), daemon=True).start()
        server.run(sockets=[listener])


def stop_with_parent(server: "Server") -> None:
    """Stop the server when its parent process has exited."""
    if parent := multiprocessing.parent_process():
        parent.join()
        server.should_exit = True
