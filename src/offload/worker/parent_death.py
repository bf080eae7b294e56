"""Makes the kernel end a process together with its parent."""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1
"""An option of Linux's prctl(2)."""


def die_with_parent() -> None:
    """Make the kernel kill this process when the thread that forked it exits; only Linux can.

    Elsewhere a child exits when its connection to the worker is closed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
