"""The world outside the shop: an HTTP server on this machine that answers for other firms."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Self

from stage.firms import Bank, Courier, Reply


class Counter(BaseHTTPRequestHandler):
    """Where one request is received."""

    server: "Outside"

    def do_GET(self) -> None:
        """`/parcels/17`: where is it?"""
        self.answer(self.server.courier.locate(self.number("/parcels/")))

    def do_POST(self) -> None:
        """`/payments/17`: book it."""
        self.answer(self.server.bank.book(self.number("/payments/")))

    def number(self, folder: str) -> int:
        """Return the number in the path."""
        return int(self.path.removeprefix(folder))

    def answer(self, reply: Reply) -> None:
        """Send what a firm says."""
        body = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal is for the shop."""


class Outside(ThreadingHTTPServer):
    """The server, on a free port of this machine, in a thread of its own."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Counter)
        self.closing = Event()
        self.courier = Courier(self.closing)
        self.bank = Bank(self.closing)
        self.thread = Thread(target=self.serve_forever, name="outside")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self.shutdown()
        self.thread.join()
        self.server_close()
