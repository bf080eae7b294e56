"""The thread of a child process that sends reports to the worker."""

from __future__ import annotations

import errno
import logging
import os
import resource
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from offload.failpoints import failpoint
from offload.progress import MIN_READ_INTERVAL
from offload.worker.child.channel import Channel, MessageKind
from offload.worker.limits_in_code import limits_in_code
from offload.worker.runners.base import FinishReport
from offload.worker.runners.progress_buffer import ProgressBuffer
from offload.worker.runners.slot_table import SlotTable

logger = logging.getLogger("offload.worker")

MAX_REPORT_DELAY = 0.002
"""Seconds that a report waits for others to join it, if more follow."""
MIN_DESCRIPTORS = 16
"""If fewer file descriptors are free, jobs are about to fail. Lower if the limit is low."""
HAS_PROC = Path("/proc/self/statm").exists()
"""Whether the worker can read how much memory this process uses."""


class ReportWriter:
    """Sends finished jobs and progress in batches, from a thread of its own.

    A thread that wakes for each short job would take the interpreter from the next job each time,
    so a report waits a little for others if more follow. And as long as some have arrived since it
    sent the last ones, it looks for the next ones by itself: to wake it costs as much as a job.

    If it cannot send any more, the process exits: without reports it is of no use, and the worker
    then knows at once which jobs are lost.

    Args:
        end: the child's end of the connection.
        slots: where it counts what it has sent.

    Attributes:
        progress_buffer: collects the progress of this process's jobs, which is sent now and then.
    """

    def __init__(self, end: socket.socket, slots: SlotTable) -> None:
        self._channel = Channel(end)
        self._slots = slots
        self._is_exhausted = False
        self._reports: list[FinishReport] = []
        self._messages: list[tuple[Any, ...]] = []
        self._has_work = threading.Event()
        self._must_send_now = threading.Event()
        self.progress_buffer = ProgressBuffer(wake=self._has_work.set)
        self._has_new_limits = False
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

    def send_limits(self) -> None:
        """Send the limits of the loaded tasks soon: a module may be loading several."""
        self._has_new_limits = True
        self._has_work.set()

    def stop(self) -> None:
        """Send everything and wait for the thread to exit."""
        self._is_stopping = True
        self._must_send_now.set()
        self._has_work.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._send_until_stopped()
        except BaseException:
            logger.exception("Child process %s cannot report its jobs, and exits.", os.getpid())
            os._exit(1)

    def _send_until_stopped(self) -> None:
        has_sent = False
        while True:
            self._has_work.wait(MIN_READ_INTERVAL if self.progress_buffer else None)
            self._must_send_now.wait(MAX_REPORT_DELAY)
            self._must_send_now.clear()
            if not has_sent:
                self._has_work.clear()
            has_sent = bool(self._reports)
            is_stopping = self._is_stopping  # read after the clear, or a `stop` could be missed
            self._send_reports()
            if self._has_new_limits:
                self._has_new_limits = False
                limits = limits_in_code()
                self._send(MessageKind.LIMITS, limits.loaded_at, limits.numbers)
            while self._messages:
                self._send(*self._messages.pop(0))
            if is_stopping:
                return

    def _send(self, *message: Any) -> None:
        self._channel.send(*message)
        if self._channel.is_closed:
            os._exit(1)
        self._slots.count_sent()

    def _send_reports(self) -> None:
        count = len(self._reports)
        reports = self._reports[:count]
        del self._reports[:count]
        self._send_progress()
        if count:
            if not HAS_PROC:
                self._slots.peak_memory = peak_memory()
            rows = [(number, tuple(outcome), seconds) for number, outcome, seconds, _ in reports]
            failpoint("child.reporting")
            if not self._is_exhausted and self._has_few_descriptors():
                self._is_exhausted = True
                self._send(MessageKind.EXHAUSTED)  # first, so that no job follows these
            self._send(MessageKind.FINISHED, rows)
            failpoint("child.reported")

    def _send_progress(self) -> None:
        """Send the progress that is due; the last one of a job goes before its outcome."""
        if self.progress_buffer:
            progress = self.progress_buffer.read(time.monotonic())
            if progress:
                self._send(MessageKind.PROGRESS, progress)

    def _has_few_descriptors(self) -> bool:
        """Return whether hardly any is left: the kernel hands out the lowest that is free."""
        try:
            lowest = os.dup(self._channel.fileno())
        except OSError as error:
            return error.errno == errno.EMFILE
        os.close(lowest)
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return False
        return lowest >= limit - min(MIN_DESCRIPTORS, limit // 8)


def peak_memory() -> int:
    """Return the most bytes of memory that this process has used."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
