"""Engines as users start them: `offload_worker` in processes of their own."""

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

from load.database import ask, environment

LONGEST = 900.0
"""Seconds that a drain may take."""
PAUSE = threading.Event()

type Variables = Mapping[str, str]
NONE: Variables = {}


class Engine:
    """Args:
    choices: arguments of `offload_worker` besides those that all have.
    processes: executors.
    variables: of the environment, see `load.settings`.
    """

    def __init__(self, *choices: str, processes: int = 2, variables: Variables = NONE) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the engine
        command = [sys.executable, "-m", "django", "offload_worker", "--no-reload", "--verbosity=0"]
        command += [f"--processes={processes}", "--threads=1", *choices]
        kind, name = os.environ["LOAD_DATABASE"], os.environ["LOAD_NAME"]
        self.process = subprocess.Popen(
            command,
            env=environment(kind, name, **variables),
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def join(self, timeout: float = LONGEST) -> None:
        """Wait for an engine that drains."""
        try:
            code = self.process.wait(timeout)
        except BaseException:
            self.kill()
            raise
        if code:
            self._said.seek(0)
            raise RuntimeError(
                f"The engine ended with {code}: {self._said.read().decode()[-2000:]}"
            )

    def stop(self) -> None:
        """Let it end in order."""
        self.process.send_signal(signal.SIGTERM)
        self.join(60)

    def kill(self) -> None:
        """End it with its children: it is the leader of a group of its own."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def running(*choices: str, **variables: str) -> Iterator[Engine]:
    """Keep an engine; it is up when the block begins."""
    before = _registered()
    engine = Engine(*choices, variables=variables)
    try:
        until = time.monotonic() + 30
        while _registered() == before and time.monotonic() < until:
            PAUSE.wait(0.05)
        PAUSE.wait(0.5)  # its children
        yield engine
        engine.stop()
    finally:
        engine.kill()


def _registered() -> int:
    return int(ask("SELECT COUNT(*) FROM offload_worker")[0][0])
