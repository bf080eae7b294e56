"""A child process reports its finished jobs together if it can, and each at once if it must."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from offload.lifecycle import succeeded
from offload.worker.child import report_writer
from offload.worker.child.channel import Channel, MessageKind
from offload.worker.child.report_writer import ReportWriter
from offload.worker.runners.base import FinishReport
from offload.worker.runners.slot_table import SlotTable

LONG = 10.0
"""Seconds after which a test fails."""


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    child, worker = socket.socketpair()
    worker.setblocking(False)
    with closing(child), closing(worker):
        yield child, Channel(worker)


def numbers_in_next_message(channel: Channel) -> list[int]:
    """Return which jobs the next message reports."""
    assert select.select([channel], [], [], LONG)[0]
    (message,) = channel.receive()
    kind, rows = message
    assert kind == MessageKind.FINISHED
    return [number for number, _, _ in rows]


def make_report(number: int, *, more_follow: bool) -> FinishReport:
    return FinishReport(number, succeeded("1"), 0.1, more_follow)


def test_reports_are_sent_together_until_no_more_follow(ends, monkeypatch):
    monkeypatch.setattr(report_writer, "MAX_REPORT_DELAY", LONG)
    writer = ReportWriter(ends[0], SlotTable(1))

    for number in range(1, 4):
        writer.report(make_report(number, more_follow=number < 3))

    assert numbers_in_next_message(ends[1]) == [1, 2, 3]
    writer.stop()


def test_a_report_waits_for_others_only_a_moment(ends):
    writer = ReportWriter(ends[0], SlotTable(1))

    writer.report(make_report(1, more_follow=True))

    assert numbers_in_next_message(ends[1]) == [1]
    writer.stop()


@pytest.mark.parametrize("pauses", [0.0, 0.02], ids=["at once", "after a pause"])
def test_each_report_is_sent_whenever_it_arrives(ends, monkeypatch, pauses):
    monkeypatch.setattr(report_writer, "MAX_REPORT_DELAY", 0.001)
    writer = ReportWriter(ends[0], SlotTable(1))

    for number in range(1, 21):
        writer.report(make_report(number, more_follow=bool(number % 2)))
        assert numbers_in_next_message(ends[1]) == [number]
        assert not select.select([ends[1]], [], [], pauses)[0]
    writer.stop()
