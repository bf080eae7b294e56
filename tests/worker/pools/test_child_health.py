"""When a child process is of no more use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from offload.worker.pools.child_health import (
    CLOSED_TIMEOUT,
    READY_TIMEOUT,
    STOPPED_CHECK_INTERVAL,
    ChildHealth,
)
from tests.waiting import wait_until

LEASE = 30.0


@pytest.fixture
def pid() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def find_fault(
    health: ChildHealth, now: float, *, is_ready: bool = True, is_closed: bool = False
) -> str | None:
    return health.find_fault(now, is_ready=is_ready, is_closed=is_closed)


def test_a_child_has_time_to_become_ready(pid):
    health = ChildHealth(pid, LEASE)
    assert find_fault(health, 1.0, is_ready=False) is None
    assert find_fault(health, READY_TIMEOUT, is_ready=False) is None

    fault = find_fault(health, READY_TIMEOUT + 1.1, is_ready=False)
    assert fault == "it was not ready after 120 s"
    assert find_fault(health, 2 * READY_TIMEOUT) is None


def test_a_child_has_time_to_exit_after_it_closed_its_connection(pid):
    health = ChildHealth(pid, LEASE)
    assert find_fault(health, 1.0, is_closed=True) is None

    fault = find_fault(health, CLOSED_TIMEOUT + 1.1, is_closed=True)
    assert fault == "it closed its connection to the worker"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_a_child_may_be_stopped_for_as_long_as_the_lease(pid):
    health = ChildHealth(pid, LEASE)
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: os.waitpid(pid, os.WUNTRACED | os.WNOHANG)[0] == pid, "it is stopped")
    assert find_fault(health, 0.0) is None
    assert find_fault(health, LEASE) is None
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: os.waitpid(pid, os.WCONTINUED | os.WNOHANG)[0] == pid, "it goes on")
    assert find_fault(health, LEASE + STOPPED_CHECK_INTERVAL) is None
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: os.waitpid(pid, os.WUNTRACED | os.WNOHANG)[0] == pid, "it is stopped")

    assert find_fault(health, 100.0) is None
    fault = find_fault(health, 100.0 + LEASE + 0.1)
    assert fault == "a signal stopped it for longer than the lease of 30 s"
