"""Tasks that take their process's connection, descriptors or time away."""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
import threading
from pathlib import Path
from typing import Any

from offload import current_job, task
from tests.worker.event_log import write

_kept: list[Any] = []


def _connection() -> int:
    """Return the descriptor of this process's connection to its worker."""
    for name in Path("/proc/self/fd").iterdir():
        number = int(name.name)
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as copy:
                if copy.family == socket.AF_UNIX and copy.type == socket.SOCK_STREAM:
                    copy.getpeername()
                    if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0:
                        return number
        except OSError:
            continue
    raise LookupError("no connection")


@task
def write_to_worker(data: str) -> None:
    os.write(_connection(), bytes.fromhex(data))


@task
def read_from_worker() -> None:
    """Read a part of the next message."""
    connection = _connection()
    write("running", current_job().id)
    os.read(connection, 5)


@task
def close_descriptors() -> None:
    os.closerange(3, 4096)


@task
async def aclose_descriptors() -> None:
    os.closerange(3, 4096)


@task
def close_descriptors_and_open_others() -> None:
    os.closerange(3, 4096)
    _kept.extend(socket.socketpair() for _ in range(20))


@task
def use_up_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        while True:
            _kept.append(open("/dev/null"))  # noqa: PTH123, SIM115
    except OSError:
        pass


@task
def kill_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task
def stop_process() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    threading.Event().wait()  # this thread may run on until the signal has stopped another


@task
def shrink_shared_memory() -> list[str]:
    """Try to cut off the memory that this process shares with its worker; return the errors."""
    errors = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        path = f"/proc/self/fd/{name}"
        if os.path.exists(path) and "memfd:offload" in os.readlink(path):  # noqa: PTH110, PTH115
            try:
                os.ftruncate(int(name), 0)
            except OSError as error:
                errors.append(type(error).__name__)
    return errors
