"""A doorbell for the processes of one host: Unix datagram sockets in a folder.

Each listener binds a socket there, named by what it listens for; who rings sends one byte to
each of those. A socket whose owner is gone refuses, and is removed.
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

LONGEST_PATH = 100
"""Bytes of a socket's path; the kernel's limit is 107."""

ENGINE_HINTS = frozenset({Hint.WORK, Hint.CONTROL, Hint.WATCH})
GRAIN = 100_000_000
"""Nanoseconds after a change of a folder in which another one may leave it the same time."""


class UnixSocketNotifier(Notifier):
    """Rings at the listeners whose sockets are in `folder`."""

    def __init__(self, folder: Path) -> None:
        if len(os.fsencode(folder)) > LONGEST_PATH - 40:
            folder = private_folder(str(folder))
        self.folder = folder
        self._sender: tuple[int, socket.socket] | None = None
        self._seen: tuple[int, list[str]] = (-1, [])
        """When the folder had changed last, and what was in it."""

    def notify(self, hint: Hint) -> None:
        prefix = _prefix(hint)
        for name in self._listeners():
            if name.startswith(prefix):
                self._send(hint, self.folder / name)

    def listen(self, *hints: Hint) -> Listener:
        # A name that nobody else ever has: processes of two containers may share their numbers.
        path = self.folder / f"{_prefix(hints[0])}{new_id().hex}"
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self.folder.mkdir(mode=0o770, exist_ok=True)
            bell.bind(str(path))
            path.chmod(0o660)
        except OSError:  # the folder is not ours, or on a file system without sockets
            bell.close()
            return PollingListener()
        bell.setblocking(False)  # noqa: FBT003
        return UnixSocketListener(bell, path)

    def _listeners(self) -> list[str]:
        """Return the sockets' names; the folder is read again only when it changed."""
        try:
            changed = self.folder.stat().st_mtime_ns
        except OSError:
            return []
        seen, names = self._seen
        if changed != seen:
            with contextlib.suppress(OSError):
                names = os.listdir(self.folder)  # noqa: PTH208  # names are enough
                is_old = time.time_ns() - changed > GRAIN
                self._seen = (changed if is_old else -1, names)
        return names

    def _send(self, hint: Hint, path: Path) -> None:
        try:
            self._socket().sendto(hint.encode(), str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError:
            pass  # full: a hint waits there already; or not ours to ring

    def _socket(self) -> socket.socket:
        """Return a socket to send from, made anew after a fork."""
        if self._sender is None or self._sender[0] != os.getpid():
            sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sender.setblocking(False)  # noqa: FBT003
            self._sender = (os.getpid(), sender)
            weakref.finalize(self, sender.close)
        return self._sender[1]


class UnixSocketListener(Listener):
    """One socket in the folder."""

    check_interval = 1.0

    def __init__(self, bell: socket.socket, path: Path) -> None:
        self._bell = bell
        self._path = path

    def fileno(self) -> int:
        return self._bell.fileno()

    def receive(self) -> set[Hint]:
        heard = set()
        with contextlib.suppress(OSError):
            while text := self._bell.recv(16):
                with contextlib.suppress(ValueError):  # a newer version has other hints
                    heard.add(Hint(text.decode()))
        return heard

    def close(self) -> None:
        self._bell.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def private_folder(key: str) -> Path:
    """Return this user's folder for the bells of something that has no folder of its own."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"offload-{os.getuid()}-{digest}"


def _prefix(hint: Hint) -> str:
    return "engine-" if hint in ENGINE_HINTS else "watcher-"
