"""Hints between the processes of one host: Unix datagram sockets in a folder.

Each listener binds a socket in the folder, named after the hints it listens for. The sender
writes one datagram to each socket. A socket whose process has exited refuses, and is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import tempfile
import time
import weakref
from pathlib import Path

from offload.notifier.base import Hint, Listener, Notifier
from offload.notifier.polling import PollingListener
from offload.uuid7 import new_id

MAX_PATH_BYTES = 100
"""Longest path of a socket; the kernel's limit is 107."""
MAX_NAME_BYTES = 40
"""Longest name of a socket within its folder."""
MTIME_RESOLUTION_NS = 100_000_000
"""Time after a change of a folder in which a second change may leave its mtime the same."""
WORKER_HINTS = frozenset({Hint.WORK, Hint.CONTROL, Hint.WATCH})


class UnixSocketNotifier(Notifier):
    """Sends hints to the listeners whose sockets are in a folder.

    Args:
        folder: where the sockets are; a private one if its path is too long for a socket.
    """

    def __init__(self, folder: Path) -> None:
        if len(os.fsencode(folder)) > MAX_PATH_BYTES - MAX_NAME_BYTES:
            folder = private_folder(str(folder))
        self.folder = folder
        self._sender: tuple[int, socket.socket] | None = None
        """The process that made the socket, and the socket."""
        self._listing: tuple[int, list[str]] = (-1, [])
        """The folder's mtime, and the names that were in it."""

    def notify(self, hint: Hint) -> None:
        prefix = _name_prefix(hint)
        for name in self._names():
            if name.startswith(prefix):
                self._send(hint, self.folder / name)

    def listen(self, *hints: Hint) -> Listener:
        # A unique name: processes of two containers may have the same process id.
        path = self.folder / f"{_name_prefix(hints[0])}{new_id().hex}"
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self.folder.mkdir(mode=0o770, exist_ok=True)
            receiver.bind(str(path))
            path.chmod(0o660)
        except OSError:  # another user's folder, or a file system without sockets
            receiver.close()
            return PollingListener()
        receiver.setblocking(False)  # noqa: FBT003
        return UnixSocketListener(receiver, path)

    def _names(self) -> list[str]:
        """Return the names in the folder; it is read again only after a change."""
        try:
            mtime = self.folder.stat().st_mtime_ns
        except OSError:
            return []
        known_mtime, names = self._listing
        if mtime == known_mtime:
            return names
        with contextlib.suppress(OSError):
            names = os.listdir(self.folder)  # noqa: PTH208  # names are enough
            may_change_unnoticed = time.time_ns() - mtime <= MTIME_RESOLUTION_NS
            self._listing = (-1 if may_change_unnoticed else mtime, names)
        return names

    def _send(self, hint: Hint, path: Path) -> None:
        try:
            self._socket().sendto(hint.encode(), str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError:
            pass  # full: hints wait there already; or the socket of another user

    def _socket(self) -> socket.socket:
        """Return the socket to send from; a forked process gets its own."""
        if self._sender is None or self._sender[0] != os.getpid():
            sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sender.setblocking(False)  # noqa: FBT003
            self._sender = (os.getpid(), sender)
            weakref.finalize(self, sender.close)
        return self._sender[1]


class UnixSocketListener(Listener):
    """One socket in the folder."""

    check_interval = 1.0

    def __init__(self, receiver: socket.socket, path: Path) -> None:
        self._receiver = receiver
        self._path = path

    def fileno(self) -> int:
        return self._receiver.fileno()

    def receive(self) -> set[Hint]:
        hints = set()
        with contextlib.suppress(OSError):
            while text := self._receiver.recv(16):
                with contextlib.suppress(ValueError):  # a hint of a newer version
                    hints.add(Hint(text.decode()))
        return hints

    def close(self) -> None:
        self._receiver.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def private_folder(key: str) -> Path:
    """Return this user's folder for the sockets of a database.

    Args:
        key: text that identifies the database.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"offload-{os.getuid()}-{digest}"


def _name_prefix(hint: Hint) -> str:
    return "worker-" if hint in WORKER_HINTS else "watcher-"
