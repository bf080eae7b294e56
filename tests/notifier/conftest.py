"""Notifiers, and listeners that are closed after the test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from offload.notifier import Hint, Listener, Notifier
from offload.notifier.unix_sockets import UnixSocketNotifier
from tests.notifier.support import close_sender

type Listen = Callable[..., Listener]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets, unlike that of `tmp_path`."""
    with tempfile.TemporaryDirectory() as parent:
        yield Path(parent) / "hints"


@pytest.fixture
def sockets(folder: Path) -> Iterator[UnixSocketNotifier]:
    notifier = UnixSocketNotifier("test", folder)
    yield notifier
    close_sender(notifier)


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Return a function that listens with a notifier."""
    with ExitStack() as stack:

        def start(notifier: Notifier, *hints: Hint) -> Listener:
            listener = notifier.listen(*hints)
            stack.callback(listener.close)
            return listener

        yield start
