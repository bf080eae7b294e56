"""Hints between the processes of one host: Unix datagram sockets in a folder.

Each listener binds a socket in the folder, named after the hints it listens for. The sender
writes one datagram to each socket. A socket whose process has exited refuses, and is removed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import tempfile
import time
import weakref
from pathlib import Path

from offload.notifier.base import Hint, Listener, Notifier
from offload.notifier.polling import PollingListener
from offload.private_folders import (
    UntrustedFolder,
    create_private_folder,
    private_path,
    require_private,
    warn_once,
)
from offload.uuid7 import new_id

MAX_PATH_BYTES = 100
"""Longest path of a socket; the kernel's limit is 107."""
MAX_NAME_BYTES = 40
"""Longest name of a socket within its folder."""
MTIME_RESOLUTION_NS = 100_000_000
"""Time after a change of a folder in which a second change may leave its mtime the same."""
WORKER_HINTS = frozenset(Hint) - {Hint.CHANGED}


class UnixSocketNotifier(Notifier):
    """Sends hints to the listeners whose sockets are in a folder.

    Args:
        key: what the hints are about; it names a private folder, used if `folder` is unsuitable.
        folder: where the sockets should be. It is unsuitable if its path is too long for a socket,
            or if every user can create files beside it.
    """

    def __init__(self, key: str, folder: Path | None = None) -> None:
        self._is_private = folder is None or not _is_suitable(folder)
        if folder is None or self._is_private:
            folder = private_path(tempfile.gettempdir(), key)
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
            self._create_folder()
            receiver.bind(str(path))
            path.chmod(0o660)
        except OSError as error:  # another user's folder, or a file system without sockets
            receiver.close()
            self._warn(error)
            return PollingListener()
        receiver.setblocking(False)  # noqa: FBT003
        return UnixSocketListener(receiver, path)

    def _create_folder(self) -> None:
        if self._is_private:
            create_private_folder(self.folder)
        else:
            self.folder.mkdir(mode=0o770, exist_ok=True)

    def _warn(self, error: OSError) -> None:
        if isinstance(error, UntrustedFolder):
            consequence = "So processes do not wake each other by Unix sockets, but poll."
            warn_once(str(error), consequence)

    def _names(self) -> list[str]:
        """Return the names in the folder; it is read again only after a change."""
        try:
            status = self.folder.lstat()
            if self._is_private:
                require_private(self.folder, status)
        except OSError as error:
            self._warn(error)
            return []
        mtime = status.st_mtime_ns
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
                if stat.S_ISSOCK(path.lstat().st_mode):
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


def _is_suitable(folder: Path) -> bool:
    """Return whether a folder has a short path, and cannot be created by every user."""
    if len(os.fsencode(folder)) > MAX_PATH_BYTES - MAX_NAME_BYTES:
        return False
    try:
        mode = folder.parent.stat().st_mode
    except OSError:
        return True
    return not (stat.S_ISDIR(mode) and mode & stat.S_IWOTH)


def _name_prefix(hint: Hint) -> str:
    return "worker-" if hint in WORKER_HINTS else "watcher-"
