"""Folders of one user in places like `/tmp`, where every user of the host can create files."""

from __future__ import annotations

import hmac
import logging
import os
import stat
from functools import cache
from hashlib import sha256
from pathlib import Path

from django.conf import settings

logger = logging.getLogger("offload.worker")


class UntrustedFolder(OSError):
    """A folder in which another user could change files."""


def private_path(parent: str, key: str) -> Path:
    """Return the path of this user's folder for a purpose.

    Other users cannot guess it, so they cannot create it first.

    Args:
        parent: a folder in which every user can create files.
        key: what the folder is for; the same in all processes of the project.
    """
    secret = str(settings.SECRET_KEY).encode()
    digest = hmac.digest(secret, f"offload.private_folders:{key}".encode(), sha256)
    return Path(parent) / f"offload-{os.getuid()}-{digest.hex()[:16]}"


def create_private_folder(folder: Path) -> None:
    """Create a private folder, unless it exists.

    Raises:
        UntrustedFolder: it exists, and another user could change what is in it.
        OSError: it cannot be created.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    require_private(folder, folder.lstat())


def require_private(folder: Path, status: os.stat_result) -> None:
    """Raise UntrustedFolder unless only this user can change what is in a folder.

    Args:
        folder: its path.
        status: its status, as `lstat` returns it.
    """
    if not stat.S_ISDIR(status.st_mode):
        reason = "is not a folder"
    elif status.st_uid != os.getuid():
        reason = f"belongs to user {status.st_uid}, not to user {os.getuid()}"
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        reason = "is writable for other users"
    else:
        return
    raise UntrustedFolder(f"{folder} {reason}")


@cache
def warn_once(problem: str, consequence: str) -> None:
    """Log, once per process, that a folder cannot be used, what follows and what to do."""
    logger.warning("%s. %s Remove it, and restart this process.", problem, consequence)
