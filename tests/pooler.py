"""A stand-in for PgBouncer in transaction mode.

It drops notifications, and gives clients a process number that is not the server's.
"""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection


@contextmanager
def pooler() -> Iterator[int]:
    """Run a pooler in front of PostgreSQL; yield its port."""
    server = connection.settings_dict["HOST"], connection.settings_dict["PORT"]

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(server) as upstream:
            requests = threads.submit(forward, client, upstream)
            forward_messages(upstream, client)
            requests.result()

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threads.submit(serve, client)

    with ThreadPoolExecutor(32) as threads, socket.create_server(("127.0.0.1", 0)) as listener:
        threads.submit(accept)
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def connect_through(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new connections go through a pooler; this thread's own is open already."""
    connection.ensure_connection()
    plain = {"sslmode": "disable", "gssencmode": "disable"}
    for name, value in {"HOST": "127.0.0.1", "PORT": port, "OPTIONS": plain}.items():
        monkeypatch.setitem(connection.settings_dict, name, value)


def forward(source: socket.socket, target: socket.socket) -> None:
    """Forward all bytes."""
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def forward_messages(source: socket.socket, target: socket.socket) -> None:
    """Forward PostgreSQL's messages, without NotificationResponse, a false BackendKeyData."""
    with source.makefile("rb") as stream:
        while head := stream.read(5):
            body = stream.read(int.from_bytes(head[1:]) - 4)
            if head[:1] == b"K":
                body = bytes(len(body))
            if head[:1] != b"A":
                target.sendall(head + body)
    target.shutdown(socket.SHUT_WR)
