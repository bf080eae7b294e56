"""The contract of the notifiers: who rings is heard, and nothing worse happens than no hint."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from offload.notifier import Hint, Listener, Notifier, get_notifier
from offload.notifier.polling import PollingNotifier
from offload.notifier.postgresql import PostgreSQLNotifier
from offload.notifier.sqlite import SQLiteNotifier
from offload.notifier.unix_sockets import UnixSocketNotifier
from tests.pooler import behind, pooler
from tests.tasks import add
from tests.worker.conftest import until

pytestmark = pytest.mark.django_db(transaction=True)

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite")
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets, unlike that of `tmp_path`."""
    with tempfile.TemporaryDirectory() as short:
        yield Path(short) / "bells"


@pytest.fixture
def bell(folder: Path) -> Iterator[UnixSocketNotifier]:
    bell = UnixSocketNotifier(folder)
    yield bell
    close(bell)


def close(bell: UnixSocketNotifier) -> None:
    """Close what it rings with; a program needs no such thing, its bell lives as long as it."""
    if bell._sender is not None:
        bell._sender[1].close()


@pytest.fixture(params=["doorbell", "of the database"])
def notifier(request: pytest.FixtureRequest, bell: UnixSocketNotifier) -> Notifier:
    if request.param == "doorbell":
        return bell
    notifier = get_notifier("default")
    if isinstance(notifier, PostgreSQLNotifier):
        return PostgreSQLNotifier("default")  # without the memory of other tests
    return notifier


@pytest.fixture
def listen(notifier: Notifier) -> Iterator[Any]:
    listeners: list[Listener] = []

    def start(*hints: Hint) -> Listener:
        listeners.append(notifier.listen(*hints))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.close()


def wait(listener: Listener, seconds: float = 10) -> set[Hint]:
    """Wait for a hint without looking at the clock."""
    descriptor = listener.fileno()
    assert descriptor is not None
    select.select([descriptor], [], [], seconds)
    return listener.receive()


@pytest.mark.parametrize("hint", [Hint.WORK, Hint.CONTROL, Hint.WATCH])
def test_an_engine_hears_what_is_rung(notifier, listen, hint):
    engine = listen(Hint.WORK, Hint.CONTROL, Hint.WATCH)

    notifier.notify(hint)

    assert wait(engine) == {hint}
    assert engine.receive() == set()


def test_who_watches_hears_that_jobs_changed_and_nothing_else(notifier, listen):
    watcher, engine = listen(Hint.CHANGED), listen(Hint.WORK, Hint.CONTROL)

    notifier.notify(Hint.WORK)
    notifier.notify(Hint.CHANGED)

    assert wait(watcher) == {Hint.CHANGED}
    assert wait(engine) == {Hint.WORK}


def test_all_listeners_hear(notifier, listen):
    engines = [listen(Hint.WORK) for _ in range(3)]

    notifier.notify(Hint.WORK)

    assert [wait(engine) for engine in engines] == [{Hint.WORK}] * 3


def test_ringing_without_listeners_does_nothing(notifier):
    for hint in Hint:
        notifier.notify(hint)


def test_ringing_never_waits_for_a_listener_that_does_not_listen(notifier, listen):
    engine = listen(Hint.WORK)

    for _ in range(2000):
        notifier.notify(Hint.WORK)

    assert wait(engine) == {Hint.WORK}


def test_a_closed_listener_is_gone(notifier, listen):
    engine = listen(Hint.WORK)
    engine.close()

    notifier.notify(Hint.WORK)


# --- the doorbell ------------------------------------------------------------------------------


def test_the_socket_of_a_dead_process_is_removed(bell):
    alive = bell.listen(Hint.WORK)
    dead = bell.folder / "engine-0-0"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(dead))

    bell.notify(Hint.WORK)

    assert not dead.exists()
    assert wait(alive) == {Hint.WORK}
    alive.close()
    assert list(bell.folder.iterdir()) == []


def test_a_hint_that_only_a_newer_version_knows_is_ignored(bell):
    listener = bell.listen(Hint.WORK)
    (address,) = bell.folder.iterdir()
    for text in (b"tomorrow", b"\xff"):
        bell._socket().sendto(text, str(address))
    bell.notify(Hint.WORK)

    assert wait(listener) == {Hint.WORK}
    listener.close()


def test_a_listener_that_came_later_is_heard_too(bell):
    bell.notify(Hint.WORK)
    first = bell.listen(Hint.WORK)
    bell.notify(Hint.WORK)
    second = bell.listen(Hint.WORK)
    first.receive()
    bell.notify(Hint.WORK)

    assert [wait(first), wait(second)] == [{Hint.WORK}] * 2
    first.close()
    second.close()


def test_a_listener_that_came_in_the_same_moment_as_another_is_heard_too(bell):
    """A folder's time grows in steps of some milliseconds, and tells not of a second change."""
    first = bell.listen(Hint.WORK)
    moment = time.time_ns()
    os.utime(bell.folder, ns=(moment, moment))
    bell.notify(Hint.WORK)
    second = bell.listen(Hint.WORK)
    os.utime(bell.folder, ns=(moment, moment))
    first.receive()
    bell.notify(Hint.WORK)

    assert [wait(first), wait(second)] == [{Hint.WORK}] * 2
    first.close()
    second.close()


def test_a_folder_that_does_not_change_is_read_once(bell, monkeypatch):
    listener = bell.listen(Hint.WORK)
    os.utime(bell.folder, (0, 0))
    bell.notify(Hint.WORK)
    monkeypatch.setattr(os, "listdir", lambda _: pytest.fail("it is read again"))
    listener.receive()
    bell.notify(Hint.WORK)

    assert wait(listener) == {Hint.WORK}
    listener.close()


def test_processes_of_two_containers_with_one_number_take_no_bell_from_each_other(folder):
    code = (
        "import os, sys; os.getpid = lambda: 7\n"
        "from pathlib import Path; from offload.notifier import Hint\n"
        "from offload.notifier.unix_sockets import UnixSocketNotifier\n"
        f"bell = UnixSocketNotifier(Path({str(folder)!r})).listen(Hint.WORK)\n"
        "print('listens', flush=True); sys.stdin.read(); print(*bell.receive(), flush=True)"
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
    bell = UnixSocketNotifier(folder)
    bell.notify(Hint.WORK)
    close(bell)

    assert [container.communicate(timeout=20)[0] for container in containers] == ["work\n"] * 2


def test_a_long_path_is_replaced_by_a_private_folder(tmp_path):
    folder = tmp_path / ("long" * 40)
    listening, ringing = UnixSocketNotifier(folder), UnixSocketNotifier(folder)
    listener = listening.listen(Hint.WORK)

    ringing.notify(Hint.WORK)

    assert wait(listener) == {Hint.WORK}
    listener.close()
    listening.folder.rmdir()
    close(ringing)


def test_a_folder_without_sockets_is_polled_instead(bell):
    bell.folder.write_text("a file")

    listener = bell.listen(Hint.WORK)
    bell.notify(Hint.WORK)

    assert (listener.fileno(), listener.receive()) == (None, set())
    listener.close()


def test_the_bells_of_another_user_cannot_be_rung(bell):
    listener = bell.listen(Hint.WORK)
    (socket_file,) = bell.folder.iterdir()

    assert bell.folder.stat().st_mode & 0o007 == 0
    assert socket_file.stat().st_mode & 0o007 == 0
    listener.close()


def test_a_forked_process_rings_by_a_socket_of_its_own(bell):
    listener = bell.listen(Hint.WORK)
    bell.notify(Hint.WORK)
    assert wait(listener) == {Hint.WORK}
    ours = bell._socket()
    bell._sender = (os.getpid() + 1, ours)  # as a fork sees it

    assert bell._socket() is not ours
    bell._socket().close()
    ours.close()
    listener.close()


# --- polling -------------------------------------------------------------------------------------


def test_polling_hears_nothing_and_has_no_descriptor():
    notifier = PollingNotifier()
    listener = notifier.listen(Hint.WORK)
    notifier.notify(Hint.WORK)

    assert (listener.fileno(), listener.receive(), listener.changed()) == (None, set(), False)
    assert listener.check_interval <= 1
    listener.close()


# --- SQLite --------------------------------------------------------------------------------------


@on_sqlite
def test_a_row_written_by_a_program_that_rings_no_bell_is_noticed():
    listener = get_notifier("default").listen(Hint.WORK)
    listener.changed()
    assert not listener.changed()

    def write() -> None:
        with transaction.atomic():
            add.enqueue(1)
        connections.close_all()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()

    assert listener.changed()
    assert not listener.changed()
    listener.close()


@on_sqlite
def test_a_database_in_memory_is_polled(monkeypatch):
    assert isinstance(get_notifier("default"), SQLiteNotifier)
    monkeypatch.setitem(connection.settings_dict, "NAME", "file:x?mode=memory&cache=shared")
    assert isinstance(get_notifier("default"), PollingNotifier)


# --- PostgreSQL ----------------------------------------------------------------------------------


@on_postgresql
def test_no_hint_is_given_inside_the_users_transaction():
    with transaction.atomic():
        with CaptureQueriesContext(connection) as inside:
            add.enqueue(1)
        assert not any("notify" in query["sql"].lower() for query in inside)


@on_postgresql
def test_a_hint_is_not_given_for_a_transaction_that_was_rolled_back():
    listener = PostgreSQLNotifier("default").listen(Hint.WORK)
    with transaction.atomic():
        add.enqueue(1)
        transaction.set_rollback(True)

    assert wait(listener, 0.2) == set()
    listener.close()


@on_postgresql
def test_many_hints_become_few():
    notifier = PostgreSQLNotifier("default")

    with CaptureQueriesContext(connection) as queries:
        for _ in range(100):
            notifier.notify(Hint.WORK)

    assert len(queries) < 50


@on_postgresql
def test_every_cancel_is_told():
    notifier = PostgreSQLNotifier("default")

    with CaptureQueriesContext(connection) as queries:
        for _ in range(10):
            notifier.notify(Hint.CONTROL)

    assert len(queries) == 10


@on_postgresql
def test_a_listener_looks_a_second_time_for_hints_that_were_left_out():
    listener = PostgreSQLNotifier("default").listen(Hint.WORK)

    assert 0.01 < listener.repoll_delay < 0.1
    listener.close()


@on_postgresql
def test_a_listener_whose_connection_was_cut_connects_again():
    notifier = PostgreSQLNotifier("default")
    listener = notifier.listen(Hint.WORK)
    pid = listener._connection.connection.info.backend_pid  # type: ignore[attr-defined]

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    heard = until(lambda: wait(listener, 1))

    assert Hint.WORK in heard  # some may have been missed
    assert listener.check_interval <= 1  # until it listens again, it polls
    until(lambda: listener.receive() or listener.fileno() is not None)
    notifier.notify(Hint.WORK)
    assert until(lambda: wait(listener, 1)) == {Hint.WORK}
    listener.close()


@on_postgresql
def test_what_was_rung_while_the_connection_was_lost_is_made_up_for():
    notifier = PostgreSQLNotifier("default")
    listener = notifier.listen(Hint.WORK, Hint.CONTROL)
    pid = listener._connection.connection.info.backend_pid
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    while listener._listening:
        listener.receive()

    notifier.notify(Hint.WORK)
    listener._retry_at = 0.0

    assert {Hint.WORK, Hint.CONTROL} <= listener.receive()
    assert listener._listening
    assert listener.receive() == set()
    listener.close()


@on_postgresql
def test_a_listener_that_hears_itself_lets_the_engine_look_seldom():
    listener = PostgreSQLNotifier("default").listen(Hint.WORK)
    assert listener.poll_interval is None  # it may be deaf

    assert not listener.changed()

    assert wait(listener) == set()
    assert listener.poll_interval == listener.check_interval == 15
    listener.close()


@on_postgresql
def test_a_listener_behind_a_pooler_that_drops_listen_knows_that_it_is_deaf(monkeypatch):
    with pooler() as port:
        behind(port, monkeypatch)
        notifier = PostgreSQLNotifier("default")
        listener = notifier.listen(Hint.WORK)
        listener.changed()
        notifier.notify(Hint.WORK)

        assert wait(listener, 0.5) == set()
        assert listener.poll_interval is None
        assert listener.check_interval <= 1
        assert not notifier.delivers_hints()
        listener.close()


@on_postgresql
def test_whether_hints_are_heard_is_tried_again_only_now_and_then(monkeypatch):
    with pooler() as port:
        behind(port, monkeypatch)
        listener = PostgreSQLNotifier("default").listen(Hint.WORK)
        with CaptureQueriesContext(connection) as queries:
            for _ in range(10):
                listener.changed()
        listener.close()

    assert len(queries) == 1
