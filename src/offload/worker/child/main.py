"""The main function of a child process, which runs jobs and has no access to the queue.

Its main thread only receives the worker's messages and enforces time limits; tasks run in the
threads of the runners.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from functools import partial
from typing import Any

import django
from django.apps import apps
from django.db import connections

from offload.exceptions import JobCancelled
from offload.failpoints import failpoint
from offload.lifecycle import Outcome
from offload.store.records import ClaimedJob
from offload.worker.child.channel import Channel, MessageKind
from offload.worker.child.report_writer import ReportWriter
from offload.worker.parent_death import die_with_parent
from offload.worker.runners.base import split_by_kind

logger = logging.getLogger("offload.worker")

LIMITS_INTERVAL = 0.1
"""Seconds between two checks of time limits and cancellations."""


def main(
    end: socket.socket,
    threads: int,
    async_slots: int,
    using: str,
    shows_logs: bool,  # noqa: FBT001
) -> None:
    """Run jobs until the worker sends STOP or has exited."""
    _detach_from_terminal()
    if not apps.ready:
        django.setup()
    connections.close_all()
    if shows_logs:
        from offload.worker.logs import show_job_lines  # noqa: PLC0415

        show_job_lines()
    slot_memory = _receive_slot_memory(end)
    failpoint("child.started")
    ChildMain(end, threads, async_slots, using, slot_memory).run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that hangs must not keep the process


class ChildMain:
    """The child's side of the connection: passes the worker's messages to the runners.

    Args:
        end: the child's end of the connection.
        threads: sync jobs that run at once.
        async_slots: async jobs that run at once.
        using: alias in DATABASES where the jobs are stored.
        slot_memory: descriptor of the shared memory of the slot table.
    """

    def __init__(
        self, end: socket.socket, threads: int, async_slots: int, using: str, slot_memory: int
    ) -> None:
        # These modules need the app registry.
        from offload.worker.runners.event_loop import EventLoopRunner  # noqa: PLC0415
        from offload.worker.runners.slot_table import SlotTable  # noqa: PLC0415
        from offload.worker.runners.threads import ThreadRunner  # noqa: PLC0415

        self._channel = Channel(end)
        slots = SlotTable(threads + async_slots, slot_memory)
        self._writer = ReportWriter(end, slots)
        on_finish, on_progress = self._writer.report, self._writer.progress_buffer.add
        self._threads = ThreadRunner(threads, on_finish, slots, using, on_progress)
        self._event_loop = EventLoopRunner(async_slots, on_finish, slots, threads, on_progress)
        self._event_loop.on_broken = partial(os._exit, 1)
        self._runners = (self._threads, self._event_loop)
        self._has_limits = False
        """Whether some job has a time limit or was cancelled."""
        self._is_stopped = False

    def run(self) -> None:
        """Handle messages until the worker sends STOP; exit if that becomes impossible."""
        self._writer.send(MessageKind.READY)
        try:
            while not self._is_stopped:
                self._step()
        except BaseException:
            logger.exception("Child process %s cannot receive jobs, and exits.", os.getpid())
            os._exit(1)
        self._writer.stop()

    def _step(self) -> None:
        timeout = LIMITS_INTERVAL if self._has_limits else None
        readable, _, _ = select.select([self._channel], [], [], timeout)
        if readable:
            self._receive()
        if self._has_limits:
            self._enforce_limits()

    def _receive(self) -> None:
        for message in self._channel.receive():
            self._handle(message)
        if self._channel.is_closed:
            os._exit(0)  # the worker has exited; another one rescues and runs the jobs

    def _handle(self, message: tuple[Any, ...]) -> None:
        match message:
            case MessageKind.RUN, first, rows:
                self._run_jobs(first, rows)
            case MessageKind.CANCEL, keys:
                self._cancel(keys)
            case MessageKind.ANNOUNCE_FINISHED, job, outcome:
                self._announce_finished(ClaimedJob(*job), Outcome(*outcome))
            case (MessageKind.STOP,):
                self._is_stopped = True

    def _run_jobs(self, first: int, rows: list[tuple[Any, ...]]) -> None:
        jobs = [ClaimedJob._make(row) for row in rows]
        self._has_limits = self._has_limits or any(job.timeout for job in jobs)
        sync_jobs, async_jobs = split_by_kind(enumerate(jobs, first))
        self._threads.submit(sync_jobs)
        self._event_loop.submit(async_jobs)

    def _cancel(self, keys: list[tuple[str, int]]) -> None:
        self._has_limits = True
        for key in keys:
            for runner in self._runners:
                runner.interrupt(key, JobCancelled)

    def _announce_finished(self, job: ClaimedJob, outcome: Outcome) -> None:
        """Call the receivers in another thread: slow ones must not hold up messages."""
        from offload.worker.execution.executor import announce_finished  # noqa: PLC0415

        finished = [(job, outcome)]
        threading.Thread(target=announce_finished, args=(finished,), daemon=True).start()

    def _enforce_limits(self) -> None:
        now = time.monotonic()
        for runner in self._runners:
            runner.enforce_limits(now)


def _detach_from_terminal() -> None:
    """Leave Ctrl-C and SIGTERM to the worker, and exit with it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()


def _receive_slot_memory(end: socket.socket) -> int:
    _, descriptors, _, _ = socket.recv_fds(end, 1, 1)
    (descriptor,) = descriptors
    return int(descriptor)
