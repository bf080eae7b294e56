"""An HTTP server that plays the external APIs."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Self

from support.apis import Bank, Courier, Reply, Supplier


class Handler(BaseHTTPRequestHandler):
    """The handler of one request."""

    server: "ApiServer"

    def do_GET(self) -> None:
        """Handle `/parcels/17`: return the parcel's place; `/stock/3/17`: a customer's stock."""
        if self.path.startswith("/stock/"):
            round_id, customer = map(int, self.path.removeprefix("/stock/").split("/"))
            self.answer(self.server.supplier.tell(round_id, customer))
        else:
            self.answer(self.server.courier.locate(self.number("/parcels/")))

    def do_POST(self) -> None:
        """Handle `/payments/17`: book the payment."""
        self.answer(self.server.bank.book(self.number("/payments/")))

    def number(self, folder: str) -> int:
        """Return the number in the path."""
        return int(self.path.removeprefix(folder))

    def answer(self, reply: Reply) -> None:
        """Send an API's reply."""
        body = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: the terminal belongs to the shop."""


class ApiServer(ThreadingHTTPServer):
    """The server, on a free loopback port, in its own thread."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.closing = Event()
        self.courier = Courier(self.closing)
        self.bank = Bank(self.closing)
        self.supplier = Supplier(self.closing)
        self.thread = Thread(target=self.serve_forever, name="api-server")

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self.shutdown()
        self.thread.join()
        self.server_close()
