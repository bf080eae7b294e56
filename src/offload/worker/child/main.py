"""The main function of a child process, which runs jobs and has no access to the queue.

Its main thread only receives the worker's messages and enforces time limits; tasks run in the
threads of the runners.
"""

from __future__ import annotations

import logging
import marshal
import os
import select
import socket
import time
from functools import partial
from typing import Any, NamedTuple

from offload.exceptions import JobCancelled
from offload.failpoints import failpoint
from offload.lifecycle import Outcome
from offload.process_starts import announce_start
from offload.store.records import ClaimedJob, EndedJob
from offload.task_limits import observe_limits
from offload.worker.child.channel import CHUNK_BYTES, Channel, MessageKind
from offload.worker.child.exit_handlers import run_exit_handlers
from offload.worker.child.project import close_connections
from offload.worker.child.report_writer import ReportWriter
from offload.worker.child.stop_signals import restore_stop_signals_in_forks
from offload.worker.execution.announcements import announce_ended_alone, announce_finished
from offload.worker.execution.announcing_threads import AnnouncingThreads
from offload.worker.execution.sqlite_connections import prepare_all_connections
from offload.worker.logs import show_job_lines
from offload.worker.parent_death import die_with_parent
from offload.worker.runners.base import split_by_kind
from offload.worker.runners.event_loop import EventLoopRunner
from offload.worker.runners.slot_table import SlotTable
from offload.worker.runners.threads import ThreadRunner

logger = logging.getLogger("offload.worker")

LIMITS_INTERVAL = 0.1
"""Seconds between two checks of time limits and cancellations."""


class ChildOptions(NamedTuple):
    """What a child is told when it starts.

    Attributes:
        threads: sync jobs that run at once.
        async_slots: async jobs that run at once.
        async_threads: threads for their sync code.
        using: alias in DATABASES where the jobs are stored.
        kill_grace_period: seconds that the exit handlers may take.
        shows_logs: whether it prints a line for each job's start and finish.
        is_first: whether it is the first child of its worker.
    """

    threads: int
    async_slots: int
    async_threads: int
    using: str
    kill_grace_period: float
    shows_logs: bool
    is_first: bool = False


def send_options(child: socket.socket, options: ChildOptions, slot_memory: int) -> None:
    """Send its options to a child, and the shared memory of its slot table."""
    socket.send_fds(child, [marshal.dumps(tuple(options))], [slot_memory])


def main(end: socket.socket) -> None:
    """Run jobs until the worker sends STOP or has exited; then exit in order.

    Args:
        end: the child's end of the connection.
    """
    die_with_parent()
    restore_stop_signals_in_forks()
    close_connections()
    message, descriptors, _, _ = socket.recv_fds(end, CHUNK_BYTES, 1)
    if not message:
        os._exit(0)  # the worker has exited
    for descriptor in (end.fileno(), *descriptors):  # not for programs that tasks start
        os.set_inheritable(descriptor, False)  # noqa: FBT003
    options = ChildOptions(*marshal.loads(message))  # noqa: S302  # from the worker
    if options.shows_logs:
        show_job_lines()
    announce_start(is_first=options.is_first)
    close_connections()
    failpoint("child.started")
    ChildMain(end, options, descriptors[0]).run()
    run_exit_handlers(options.kill_grace_period)
    close_connections()


class ChildMain:
    """The child's side of the connection: passes the worker's messages to the runners.

    Args:
        end: the child's end of the connection.
        options: what it runs.
        slot_memory: descriptor of the shared memory of the slot table.
    """

    def __init__(self, end: socket.socket, options: ChildOptions, slot_memory: int) -> None:
        threads, async_slots, async_threads, using = options[:4]
        self._channel = Channel(end)
        slots = self._slots = SlotTable(threads + async_slots, slot_memory)
        self._writer = ReportWriter(end, slots)
        on_finish, on_progress = self._writer.report, self._writer.progress_buffer.add
        self._threads = ThreadRunner(threads, on_finish, slots, using, on_progress)
        self._event_loop = EventLoopRunner(
            async_slots, async_threads, on_finish, slots, threads, on_progress
        )
        self._event_loop.on_broken = partial(os._exit, 1)
        self._runners = (self._threads, self._event_loop)
        self._has_limits = False
        """Whether some job has a time limit or was cancelled."""
        self._using = using
        self._announcing = AnnouncingThreads(options.kill_grace_period / 2)
        self._is_stopped = False

    def run(self) -> None:
        """Handle messages until the worker sends STOP; exit if that becomes impossible."""
        prepare_all_connections()
        observe_limits(self._writer.send_limits)
        self._writer.send(MessageKind.READY)
        try:
            while not self._is_stopped:
                self._step()
        except BaseException:
            logger.exception("Child process %s cannot receive jobs, and exits.", os.getpid())
            os._exit(1)
        for runner in self._runners:
            runner.stop()
        self._announcing.finish()
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
                self._announcing.start(announce_finished, [(ClaimedJob(*job), Outcome(*outcome))])
            case MessageKind.ANNOUNCE_ENDED, rows:
                self._announcing.start(
                    announce_ended_alone, list(map(EndedJob._make, rows)), self._using
                )
            case (MessageKind.PING,):
                self._slots.count_answered()
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

    def _enforce_limits(self) -> None:
        now = time.monotonic()
        for runner in self._runners:
            runner.enforce_limits(now)
