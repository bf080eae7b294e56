"""A child process: it runs jobs, and knows nothing of the queue.

Its main thread only listens to the engine and enforces time limits; tasks run in lanes.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

import django
from django.apps import apps
from django.db import connections

from offload.exceptions import JobCancelled
from offload.failpoints import failpoint
from offload.lifecycle import Outcome
from offload.progress import MIN_READ_INTERVAL
from offload.store.records import ClaimedJob
from offload.worker.child.channel import Channel
from offload.worker.runners.base import FinishReport
from offload.worker.runners.progress_buffer import ProgressBuffer

PR_SET_PDEATHSIG = 1
LIMITS_INTERVAL = 0.1
"""Seconds between two looks at time limits."""
MAX_REPORT_DELAY = 0.002
"""Seconds that a report waits for others at most, while jobs wait in its lane."""


def main(end: socket.socket, threads: int, slots: int, using: str, logs: bool) -> None:  # noqa: FBT001
    """Run jobs until the engine says stop, or is gone."""
    _detach()
    if not apps.ready:
        django.setup()
    connections.close_all()
    if logs:
        from offload.worker.logs import show_job_lines  # noqa: PLC0415

        show_job_lines()
    (memory,) = _receive_memory(end)
    failpoint("child.started")
    child = ChildMain(end, threads, slots, using, memory)
    child.run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that hang must not keep the process


class ChildMain:
    """Takes the engine's messages and passes jobs to the lanes."""

    def __init__(
        self, end: socket.socket, threads: int, slots: int, using: str, memory: int
    ) -> None:
        from offload.worker.runners.event_loop import EventLoopRunner  # noqa: PLC0415  # needs the app registry
        from offload.worker.runners.slot_table import SlotTable  # noqa: PLC0415
        from offload.worker.runners.threads import ThreadRunner  # noqa: PLC0415

        slot_table = SlotTable(threads + slots, memory)
        self._link = Channel(end)
        self._writer = Writer(end)
        report, on_progress = self._writer.report, self._writer.progress_buffer.add
        self._lanes = (
            ThreadRunner(threads, report, slot_table, using, on_progress),
            EventLoopRunner(slots, report, slot_table, first=threads, on_progress=on_progress),
        )
        self._timed = False
        self._stopped = False

    def run(self) -> None:
        """Obey the engine's messages."""
        self._writer.send("ready")
        while not self._stopped:
            ready, _, _ = select.select(
                [self._link], [], [], LIMITS_INTERVAL if self._timed else None
            )
            if ready:
                messages = self._link.receive()
                if messages is None:
                    os._exit(0)  # the engine is gone; whoever rescues the jobs runs them again
                for kind, *content in messages:
                    getattr(self, f"_on_{kind}")(*content)
            if self._timed:
                for lane in self._lanes:
                    lane.enforce_limits(time.monotonic())
        self._writer.finish()

    def _on_run(self, first: int, rows: list[tuple[Any, ...]]) -> None:
        jobs = [(first + index, ClaimedJob(*row)) for index, row in enumerate(rows)]
        self._timed = self._timed or any(job.timeout for _, job in jobs)
        for lane, is_async in zip(self._lanes, (False, True), strict=True):
            lane.submit([pair for pair in jobs if bool(pair[1].is_async) is is_async])

    def _on_cancel(self, keys: list[tuple[str, int]]) -> None:
        self._timed = True
        for key in keys:
            for lane in self._lanes:
                lane.interrupt(key, JobCancelled)

    def _on_recall(self) -> None:
        numbers = [number for lane in self._lanes for number in lane.release_waiting()]
        self._writer.send("recalled", numbers)

    def _on_announce(self, row: tuple[Any, ...], outcome: tuple[Any, ...]) -> None:
        """Leave it to a thread: receivers may take long, and this one must listen."""
        from offload.worker.execution.executor import announce_finished  # noqa: PLC0415

        job = ClaimedJob(*row)
        threading.Thread(
            target=announce_finished, args=(job, Outcome(*outcome)), daemon=True
        ).start()

    def _on_stop(self) -> None:
        self._stopped = True


class Writer:
    """Sends reports from a thread of its own, which wakes once for all that came meanwhile.

    A thread that is woken for each short job takes the interpreter from the next one each time,
    so a report behind which jobs wait may linger for others to join it.

    Attributes:
        progress_buffer: of the jobs that run here; it sends where they stand, now and then.
    """

    def __init__(self, end: socket.socket) -> None:
        self._link = Channel(end)
        self._reports: list[FinishReport] = []
        self._messages: list[tuple[Any, ...]] = []
        self._news = threading.Event()
        self._hurry = threading.Event()
        self.progress_buffer = ProgressBuffer(wake=self._news.set)
        self._finished = False
        self._thread = threading.Thread(target=self._run, name="offload-writer", daemon=True)
        self._thread.start()

    def report(self, report: FinishReport) -> None:
        self._reports.append(report)
        if not report.more:
            self._hurry.set()
        if not self._news.is_set():
            self._news.set()

    def send(self, *message: Any) -> None:
        self._messages.append(message)
        self._hurry.set()
        self._news.set()

    def finish(self) -> None:
        self._finished = True
        self._hurry.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._news.wait(MIN_READ_INTERVAL if self.progress_buffer else None)
            self._hurry.wait(MAX_REPORT_DELAY)
            self._hurry.clear()
            self._news.clear()
            finished = self._finished  # after the clearing, or `finish` could be missed
            self._send_reports()
            while self._messages:
                self._link.send(*self._messages.pop(0))
            if finished:
                return

    def _send_reports(self) -> None:
        count = len(self._reports)
        reports = self._reports[:count]
        del self._reports[:count]
        if self.progress_buffer and (stand := self.progress_buffer.read(time.monotonic())):
            self._link.send("progress", stand)
        if count:
            rows = [(number, tuple(outcome), seconds) for number, outcome, seconds, _ in reports]
            failpoint("child.reporting")
            self._link.send("done", rows)
            failpoint("child.reported")


def _detach() -> None:
    """Leave signals to the engine, and die with it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()


def _receive_memory(end: socket.socket) -> list[int]:
    _, descriptors, _, _ = socket.recv_fds(end, 1, 1)
    return list(descriptors)


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends; only Linux can.

    Elsewhere a child ends when it reads that its engine is gone.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
