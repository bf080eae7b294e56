"""Hints by Unix sockets."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from offload.notifier import Hint
from offload.notifier.polling import PollingListener
from offload.notifier.unix_sockets import UnixSocketNotifier
from tests.notifier.support import close_sender, wait


def test_the_socket_of_a_dead_process_is_removed(sockets):
    listener = sockets.listen(Hint.WORK)
    dead = sockets.folder / "worker-0-0"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abandoned:
        abandoned.bind(str(dead))

    sockets.notify(Hint.WORK)

    assert not dead.exists()
    assert wait(listener) == {Hint.WORK}
    listener.close()
    assert list(sockets.folder.iterdir()) == []


def test_a_hint_of_a_newer_version_is_ignored(sockets, listen):
    listener = listen(sockets, Hint.WORK)
    (address,) = sockets.folder.iterdir()
    for text in (b"tomorrow", b"\xff"):
        sockets._socket().sendto(text, str(address))
    sockets.notify(Hint.WORK)

    assert wait(listener) == {Hint.WORK}


def test_two_listeners_that_start_within_one_tick_of_the_folders_mtime_both_receive(
    sockets, listen
):
    """A folder's mtime grows in steps of some milliseconds, and may not show a second change."""
    first = listen(sockets, Hint.WORK)
    tick = time.time_ns()
    os.utime(sockets.folder, ns=(tick, tick))
    sockets.notify(Hint.WORK)
    second = listen(sockets, Hint.WORK)
    os.utime(sockets.folder, ns=(tick, tick))
    first.receive()
    sockets.notify(Hint.WORK)

    assert [wait(first), wait(second)] == [{Hint.WORK}] * 2


def test_a_folder_that_does_not_change_is_read_once(sockets, listen, monkeypatch):
    listener = listen(sockets, Hint.WORK)
    os.utime(sockets.folder, (0, 0))
    sockets.notify(Hint.WORK)
    monkeypatch.setattr(os, "listdir", lambda _: pytest.fail("it is read again"))
    listener.receive()
    sockets.notify(Hint.WORK)

    assert wait(listener) == {Hint.WORK}


def test_processes_of_two_containers_with_one_process_id_have_separate_sockets(folder):
    code = (
        "import os, sys; os.getpid = lambda: 7\n"
        "from pathlib import Path; from offload.notifier import Hint\n"
        "from offload.notifier.unix_sockets import UnixSocketNotifier\n"
        f"listener = UnixSocketNotifier('test', Path({str(folder)!r})).listen(Hint.WORK)\n"
        "print('listens', flush=True); sys.stdin.read(); print(*listener.receive(), flush=True)"
    )
    containers = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for container in containers:
        assert container.stdout is not None
        assert container.stdout.readline() == "listens\n"
    notifier = UnixSocketNotifier("test", folder)
    notifier.notify(Hint.WORK)
    close_sender(notifier)

    assert [container.communicate(timeout=20)[0] for container in containers] == ["work\n"] * 2


def test_a_long_path_is_replaced_by_a_private_folder(tmp_path, listen):
    folder = tmp_path / ("long" * 40)
    receiving, sending = UnixSocketNotifier("test", folder), UnixSocketNotifier("test", folder)
    listener = listen(receiving, Hint.WORK)

    sending.notify(Hint.WORK)

    assert wait(listener) == {Hint.WORK}
    listener.close()
    receiving.folder.rmdir()
    close_sender(sending)


@pytest.fixture
def private() -> Iterator[UnixSocketNotifier]:
    """A notifier whose folder is in the temporary folder, where every user can create files."""
    notifier = UnixSocketNotifier(f"test {uuid4()}")
    yield notifier
    close_sender(notifier)
    if notifier.folder.is_symlink() or notifier.folder.is_file():
        notifier.folder.unlink()
    else:
        shutil.rmtree(notifier.folder, ignore_errors=True)


def make_link(folder: Path, victim: Path) -> None:
    folder.symlink_to(victim)


def make_writable(folder: Path, victim: Path) -> None:
    folder.mkdir()
    folder.chmod(0o1777)


def make_foreign(folder: Path, victim: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)


def make_file(folder: Path, victim: Path) -> None:
    folder.write_text("a file")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_link, "is not a folder"),
        (make_file, "is not a folder"),
        (make_writable, "is writable for other users"),
        pytest.param(
            make_foreign,
            "belongs to user 65534",
            marks=pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away"),
        ),
    ],
)
def test_a_folder_that_another_user_can_change_is_not_used(
    private, listen, tmp_path, caplog, make, reason
):
    victim = tmp_path / "victim"
    victim.mkdir()
    make(private.folder, victim)
    folder = private.folder if private.folder.is_dir() else victim
    files = [folder / "worker-config.yml", folder / "watcher-state.db"]
    for file in files:
        file.touch()

    listener = listen(private, Hint.WORK)
    for hint in Hint:
        private.notify(hint)

    assert isinstance(listener, PollingListener)
    assert sorted(folder.iterdir()) == sorted(files)
    (record,) = caplog.records
    assert f"{private.folder} {reason}" in record.message
    assert "but poll. Remove it, and restart this process." in record.message


def test_other_users_cannot_guess_the_private_folder(settings):
    settings.SECRET_KEY = "one"
    first = UnixSocketNotifier("same").folder
    assert UnixSocketNotifier("same").folder == first
    settings.SECRET_KEY = "another"

    assert UnixSocketNotifier("same").folder != first


def test_sockets_of_a_database_where_every_user_can_create_files_are_in_a_private_folder(
    listen, folder
):
    folder.parent.chmod(0o1777)
    notifier = UnixSocketNotifier(str(uuid4()), folder)
    listener = listen(notifier, Hint.WORK)
    notifier.notify(Hint.WORK)

    assert wait(listener) == {Hint.WORK}
    assert not folder.exists()
    assert notifier.folder.stat().st_mode & 0o077 == 0
    listener.close()
    notifier.folder.rmdir()
    close_sender(notifier)


def test_only_sockets_are_removed(sockets, listen):
    listener = listen(sockets, Hint.WORK)
    file = sockets.folder / "worker-config.yml"
    file.touch()

    sockets.notify(Hint.WORK)

    assert wait(listener) == {Hint.WORK}
    assert file.exists()


@pytest.mark.parametrize("folder", ["/dev/null/hints", "/nonexistent/folder/hints"])
def test_a_folder_that_cannot_be_made_is_polled(folder, listen):
    listener = listen(UnixSocketNotifier("test", Path(folder)), Hint.WORK)

    assert isinstance(listener, PollingListener)
    assert listener.receive() == set()


def test_a_file_in_the_folders_place_is_polled(sockets, listen):
    sockets.folder.write_text("a file")

    listener = listen(sockets, Hint.WORK)
    sockets.notify(Hint.WORK)

    assert (listener.fileno(), listener.receive()) == (None, set())


def test_other_users_cannot_send_hints(sockets, listen):
    listen(sockets, Hint.WORK)
    (socket_file,) = sockets.folder.iterdir()

    assert sockets.folder.stat().st_mode & 0o007 == 0
    assert socket_file.stat().st_mode & 0o007 == 0


def test_a_forked_process_sends_from_its_own_socket(sockets, listen):
    listener = listen(sockets, Hint.WORK)
    sockets.notify(Hint.WORK)
    assert wait(listener) == {Hint.WORK}
    inherited = sockets._socket()
    sockets._sender = (os.getpid() + 1, inherited)  # as a forked process finds it

    assert sockets._socket() is not inherited
    sockets._socket().close()
    inherited.close()
