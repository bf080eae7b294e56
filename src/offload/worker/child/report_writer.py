"""The thread of a child process that sends reports to the worker."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from offload.failpoints import failpoint
from offload.progress import MIN_READ_INTERVAL
from offload.worker.child.channel import Channel, MessageKind
from offload.worker.runners.base import FinishReport
from offload.worker.runners.progress_buffer import ProgressBuffer

MAX_REPORT_DELAY = 0.002
"""Seconds that a report waits for others to join it, while more jobs wait behind it."""


class ReportWriter:
    """Sends finished jobs and progress in batches, from a thread of its own.

    A thread that wakes for each short job would take the interpreter from the next job each time,
    so a report waits a little for others as long as more jobs wait behind it.

    Attributes:
        progress_buffer: collects the progress of this process's jobs, which is sent now and then.
    """

    def __init__(self, end: socket.socket) -> None:
        self._channel = Channel(end)
        self._reports: list[FinishReport] = []
        self._messages: list[tuple[Any, ...]] = []
        self._has_work = threading.Event()
        self._must_send_now = threading.Event()
        self.progress_buffer = ProgressBuffer(wake=self._has_work.set)
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="offload-writer", daemon=True)
        self._thread.start()

    def report(self, report: FinishReport) -> None:
        """Add a finished job; called from any thread."""
        self._reports.append(report)
        if not report.more_follow:
            self._must_send_now.set()
        if not self._has_work.is_set():
            self._has_work.set()

    def send(self, *message: Any) -> None:
        """Send a message, after the reports so far."""
        self._messages.append(message)
        self._must_send_now.set()
        self._has_work.set()

    def stop(self) -> None:
        """Send everything and wait for the thread to exit."""
        self._is_stopping = True
        self._must_send_now.set()
        self._has_work.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._has_work.wait(MIN_READ_INTERVAL if self.progress_buffer else None)
            self._must_send_now.wait(MAX_REPORT_DELAY)
            self._must_send_now.clear()
            self._has_work.clear()
            is_stopping = self._is_stopping  # read after the clear, or a `stop` could be missed
            self._send_reports()
            while self._messages:
                self._channel.send(*self._messages.pop(0))
            if is_stopping:
                return

    def _send_reports(self) -> None:
        count = len(self._reports)
        reports = self._reports[:count]
        del self._reports[:count]
        self._send_progress()
        if count:
            rows = [(number, tuple(outcome), seconds) for number, outcome, seconds, _ in reports]
            failpoint("child.reporting")
            self._channel.send(MessageKind.FINISHED, rows)
            failpoint("child.reported")

    def _send_progress(self) -> None:
        """Send the progress that is due; the last one of a job goes before its outcome."""
        if self.progress_buffer:
            progress = self.progress_buffer.read(time.monotonic())
            if progress:
                self._channel.send(MessageKind.PROGRESS, progress)
