"""The fork server of this process: one for all of its workers, started again after its death."""

from __future__ import annotations

import logging
import threading

from offload.worker.child.project import ProjectError, describe_project
from offload.worker.limits_in_code import LimitsInCode
from offload.worker.pools.forked_process import ForkRequest
from offload.worker.pools.server_process import ServerProcess
from offload.worker.schedules_in_code import SchedulesInCode

logger = logging.getLogger("offload.worker")


class ForkServer:
    """Forks child processes from a process that has loaded the project.

    That process starts with the first request, and again after its death. It belongs to the thread
    that started it: on Linux it dies with that thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: ServerProcess | None = None
        self._needs_all_tasks = False

    @property
    def limits_in_code(self) -> LimitsInCode:
        """The limits of the tasks that the server has loaded; none before."""
        process = self._process
        return LimitsInCode() if process is None else process.limits_in_code

    @property
    def schedules_in_code(self) -> SchedulesInCode | None:
        """The schedules that the server has loaded; None before."""
        process = self._process
        return None if process is None else process.schedules_in_code

    def start(self, *, needs_all_tasks: bool = False) -> None:
        """Start the server unless it runs, and wait until it has loaded the project.

        Args:
            needs_all_tasks: whether a `tasks` module that cannot be imported is an error, also
                when the server starts again.

        Raises:
            ProjectError: if it cannot load the project.
        """
        self._needs_all_tasks = self._needs_all_tasks or needs_all_tasks
        process = self._running_process()
        try:
            process.wait_until_loaded()
        except BaseException:
            self.stop()
            raise

    def request(self) -> ForkRequest:
        """Ask for a child process, without waiting for it.

        Raises:
            ProjectError: if a setting cannot be passed to a server that has to start again.
            OSError: if the machine cannot start it, or it does not read.
        """
        return ForkRequest(self._running_process())

    def stop(self) -> None:
        """Make the server exit, which also ends its children."""
        with self._lock:
            if self._process is not None:
                self._process.stop()
                self._process = None

    def _running_process(self) -> ServerProcess:
        with self._lock:
            reason = None if self._process is None else self._process.exit_description
            if self._process is not None and reason is not None:
                logger.warning("The fork server died (%s), and loads the project again.", reason)
                self._process.stop()
                self._process = None
            if self._process is None:
                project = describe_project()._replace(needs_all_tasks=self._needs_all_tasks)
                self._process = ServerProcess(project)
            return self._process


fork_server = ForkServer()
"""The fork server of this process."""


def can_load_project() -> bool:
    """Return whether another process can load the project with all its tasks.

    It prints the error if it cannot.
    """
    server = ForkServer()
    try:
        server.start(needs_all_tasks=True)
    except ProjectError:
        return False
    finally:
        server.stop()
    return True
