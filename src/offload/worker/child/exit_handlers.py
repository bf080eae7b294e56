"""What Python runs at the exit of a program, for processes that exit without Python's own exit."""

from __future__ import annotations

import atexit
import signal
import sys
import threading
import weakref

MIN_SECONDS = 0.1
"""How long the exit handlers may take at least."""


def run_exit_handlers(seconds: float) -> None:
    """Run what Python runs at the exit of a program; be killed if it takes longer.

    Python's own exit would also free all objects, and thereby copy the memory that the children
    share.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, MIN_SECONDS))
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  # joins other threads
    atexit._run_exitfuncs()  # noqa: SLF001


def leave_cleanup_to_the_parent() -> None:
    """Keep the exit handlers of a forked process from removing what was made before the fork.

    These are temporary folders, for example, and processes of `multiprocessing`. Functions that
    `atexit` calls remain: they may flush a buffer that this process fills.
    """
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]  # noqa: SLF001
        finalizer.atexit = False
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:  # else its own exit handler would terminate or join them
        processes._children.clear()  # noqa: SLF001
