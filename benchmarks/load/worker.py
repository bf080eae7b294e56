"""Workers as users start them: `offload_worker` in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from load.database import environment, query

DRAIN_TIMEOUT_SECONDS = 900.0
PAUSE = threading.Event()
"""Never set: its `wait()` is a pause."""

type Variables = Mapping[str, str]
NO_VARIABLES: Variables = {}


class Worker:
    """A worker process.

    Args:
        options: options of `offload_worker`, in addition to the common ones.
        processes: number of executors.
        variables: variables of `load.settings`.
    """

    def __init__(
        self, *options: str, processes: int = 2, variables: Variables = NO_VARIABLES
    ) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the worker
        command = [sys.executable, "-m", "django", "offload_worker", "--no-reload", "--verbosity=0"]
        command += [f"--processes={processes}", "--threads=1", *options]
        kind, name = os.environ["LOAD_DATABASE"], os.environ["LOAD_NAME"]
        self.process = subprocess.Popen(
            command,
            env=environment(kind, name, **variables),
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def join(self, timeout: float = DRAIN_TIMEOUT_SECONDS) -> None:
        """Wait until the worker exits."""
        try:
            code = self.process.wait(timeout)
        except BaseException:
            self.kill()
            raise
        if code:
            self._output.seek(0)
            output = self._output.read().decode()[-2000:]
            raise RuntimeError(f"The worker exited with code {code}: {output}")

    def stop(self) -> None:
        """Stop the worker gracefully."""
        self.process.send_signal(signal.SIGTERM)
        self.join(60)

    def kill(self) -> None:
        """Kill the worker and its children, which share a process group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def running_worker(*options: str, **variables: str) -> Iterator[Worker]:
    """Keep a worker running; the block starts when it is registered and ready."""
    before = _registered_workers()
    worker = Worker(*options, variables=variables)
    try:
        deadline = time.monotonic() + 30
        while _registered_workers() == before and time.monotonic() < deadline:
            PAUSE.wait(0.05)
        PAUSE.wait(0.5)  # until its children are ready
        yield worker
        worker.stop()
    finally:
        worker.kill()


def _registered_workers() -> int:
    return int(query("SELECT COUNT(*) FROM offload_worker")[0][0])
