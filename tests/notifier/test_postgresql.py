"""Hints on PostgreSQL: NOTIFY and LISTEN, directly and behind a pooler."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from offload.notifier import Hint
from offload.notifier.postgresql import PostgreSQLNotifier
from tests.notifier.support import wait
from tests.pooler import connect_through, pooler
from tests.tasks import add
from tests.worker.conftest import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL"),
]


@pytest.fixture
def notifier() -> PostgreSQLNotifier:
    return PostgreSQLNotifier("default")


def terminate(listener, *, timeout_ms: int = 0) -> None:
    """Terminate a listener's server process."""
    pid = listener._connection.connection.info.backend_pid
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, %s)", [pid, timeout_ms])


def test_no_hint_is_sent_inside_the_users_transaction():
    with transaction.atomic():
        with CaptureQueriesContext(connection) as inside:
            add.enqueue(1)
        assert not any("notify" in query["sql"].lower() for query in inside)


def test_no_hint_is_sent_for_a_transaction_that_is_rolled_back(notifier, listen):
    listener = listen(notifier, Hint.WORK)
    with transaction.atomic():
        add.enqueue(1)
        transaction.set_rollback(True)

    assert wait(listener, 0.2) == set()


def test_only_a_few_of_many_hints_are_sent(notifier):
    with CaptureQueriesContext(connection) as queries:
        for _ in range(100):
            notifier.notify(Hint.WORK)

    assert len(queries) < 50


def test_every_cancel_is_sent(notifier):
    with CaptureQueriesContext(connection) as queries:
        for _ in range(10):
            notifier.notify(Hint.CONTROL)

    assert len(queries) == 10


def test_a_listener_requires_a_second_poll_for_hints_that_were_left_out(notifier, listen):
    assert 0.01 < listen(notifier, Hint.WORK).repoll_delay < 0.1


def test_a_listener_reconnects_after_its_connection_was_cut(notifier, listen):
    listener = listen(notifier, Hint.WORK)
    terminate(listener)
    hints = until(lambda: wait(listener, 1))

    assert Hint.WORK in hints  # some may have been missed
    assert listener.check_interval <= 1  # it must be polled until it listens again
    until(lambda: listener.receive() or listener.fileno() is not None)
    notifier.notify(Hint.WORK)
    assert until(lambda: wait(listener, 1)) == {Hint.WORK}


def test_a_reconnected_listener_returns_the_hints_that_it_may_have_missed(notifier, listen):
    listener = listen(notifier, Hint.WORK, Hint.CONTROL)
    terminate(listener, timeout_ms=5000)
    while listener._is_connected:
        listener.receive()

    notifier.notify(Hint.WORK)
    listener._reconnect_at = 0.0

    assert {Hint.WORK, Hint.CONTROL} <= listener.receive()
    assert listener._is_connected
    assert listener.receive() == set()


def test_a_listener_that_received_its_probe_needs_few_polls(notifier, listen):
    listener = listen(notifier, Hint.WORK)
    assert listener.poll_interval is None  # hints may not arrive

    assert not listener.changed()

    assert wait(listener) == set()
    assert listener.poll_interval == listener.check_interval == 15


def test_a_listener_behind_a_pooler_that_drops_listen_must_be_polled(monkeypatch, listen):
    with pooler() as port:
        connect_through(port, monkeypatch)
        notifier = PostgreSQLNotifier("default")
        listener = notifier.listen(Hint.WORK)
        listener.changed()
        notifier.notify(Hint.WORK)

        assert wait(listener, 0.5) == set()
        assert listener.poll_interval is None
        assert listener.check_interval <= 1
        assert not notifier.delivers_hints()
        listener.close()


def test_probes_are_sent_rarely(monkeypatch):
    with pooler() as port:
        connect_through(port, monkeypatch)
        listener = PostgreSQLNotifier("default").listen(Hint.WORK)
        with CaptureQueriesContext(connection) as queries:
            for _ in range(10):
                listener.changed()
        listener.close()

    assert len(queries) == 1
