"""Processes forked from one that runs jobs: when a signal reaches them."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import multiprocessing, signal
from offload.worker.child import stop_signals

stop_signals.leave_stop_signals_to_the_worker()
stop_signals.restore_stop_signals_in_forks()
for _ in range(20):
    process = multiprocessing.get_context("fork").Process(target=signal.pause)
    process.start()
    process.terminate()
    process.join(20)
    process.kill()
    print(process.exitcode)
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_a_signal_right_after_the_fork_is_not_lost():
    *codes, mask = subprocess.check_output(
        [sys.executable, "-c", CODE], text=True, timeout=60
    ).splitlines()

    assert codes == ["-15"] * 20
    assert mask == "set()"
