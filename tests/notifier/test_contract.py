"""The promises of every notifier.

They are run for polling, for Unix sockets, and for the notifier of the database: SQLite's,
PostgreSQL's, or Unix sockets on MariaDB. A listener keeps a promise by receiving the hint, or by
showing that it must be polled instead.
"""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections

from offload.notifier import Hint, Listener, Notifier, get_notifier
from offload.notifier.polling import PollingNotifier
from offload.notifier.postgresql import PostgreSQLNotifier
from offload.notifier.unix_sockets import UnixSocketNotifier
from tests.notifier.support import wait

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["polling", "unix sockets", connection.vendor])
def notifier(request: pytest.FixtureRequest, sockets: UnixSocketNotifier) -> Notifier:
    if request.param == "polling":
        return PollingNotifier()
    if request.param == "unix sockets":
        return sockets
    if request.param == "postgresql":
        return PostgreSQLNotifier("default")  # a new one: hints of other tests space out no hint
    return get_notifier("default")


def assert_receives(listener: Listener, *hints: Hint) -> None:
    """Assert that these hints arrive and no others, or that the listener must be polled."""
    if listener.fileno() is None:
        assert listener.receive() == set()
        assert listener.poll_interval is None
        assert listener.check_interval <= 1
    else:
        assert wait(listener) == set(hints)


@pytest.mark.parametrize("hint", sorted(set(Hint) - {Hint.CHANGED}))
def test_a_worker_receives_its_hints(notifier, listen, hint):
    worker = listen(notifier, *sorted(set(Hint) - {Hint.CHANGED}))

    notifier.notify(hint)

    assert_receives(worker, hint)
    assert worker.receive() == set()


def test_a_watcher_receives_changes_and_no_other_hint(notifier, listen):
    watcher, worker = listen(notifier, Hint.CHANGED), listen(notifier, Hint.WORK, Hint.CONTROL)

    notifier.notify(Hint.WORK)
    notifier.notify(Hint.CHANGED)

    assert_receives(watcher, Hint.CHANGED)
    assert_receives(worker, Hint.WORK)


def test_all_listeners_receive_a_hint(notifier, listen):
    workers = [listen(notifier, Hint.WORK) for _ in range(3)]

    notifier.notify(Hint.WORK)

    for worker in workers:
        assert_receives(worker, Hint.WORK)


def test_a_listener_that_starts_later_receives_later_hints(notifier, listen):
    notifier.notify(Hint.WORK)
    first = listen(notifier, Hint.WORK)
    notifier.notify(Hint.WORK)
    second = listen(notifier, Hint.WORK)
    first.receive()
    second.receive()

    notifier.notify(Hint.WORK)

    assert_receives(first, Hint.WORK)
    assert_receives(second, Hint.WORK)


def test_a_hint_reaches_other_threads(notifier, listen):
    worker = listen(notifier, Hint.WORK)

    def notify() -> None:
        notifier.notify(Hint.WORK)
        connections.close_all()

    thread = threading.Thread(target=notify)
    thread.start()
    thread.join()

    assert_receives(worker, Hint.WORK)


def test_receiving_does_not_wait_for_a_hint(notifier, listen):
    worker = listen(notifier, Hint.WORK)
    worker.receive()

    assert worker.receive() == set()


def test_a_hint_without_listeners_is_harmless(notifier):
    for hint in Hint:
        notifier.notify(hint)


def test_sending_never_waits_for_a_listener_that_does_not_receive(notifier, listen):
    worker = listen(notifier, Hint.WORK)

    for _ in range(2000):
        notifier.notify(Hint.WORK)

    assert_receives(worker, Hint.WORK)


def test_a_closed_listener_does_not_disturb_the_sender(notifier, listen):
    closed, worker = listen(notifier, Hint.WORK), listen(notifier, Hint.WORK)
    closed.close()

    notifier.notify(Hint.WORK)

    assert_receives(worker, Hint.WORK)


def test_a_notifier_reports_that_it_delivers_hints(notifier):
    assert notifier.delivers_hints()
