"""A listening socket on loopback."""

import socket
from contextlib import suppress


def listen(port: int) -> socket.socket:
    """Return a socket on the first free port starting at `port`; 0 means any free port."""
    for candidate in range(port, port + 100):
        # Only if the protocol is named does asyncio switch off Nagle's algorithm, which would
        # delay answers by 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            listener.bind(("127.0.0.1", candidate))
            listener.listen()
            return listener
        listener.close()
    raise SystemExit(f"No free port between {port} and {port + 99}. Choose another with PORT=...")
