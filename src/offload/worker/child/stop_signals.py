"""SIGTERM and SIGINT in a process that runs jobs, and in those that tasks start."""

from __future__ import annotations

import os
import signal
import threading
from functools import cache

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def leave_stop_signals_to_the_worker() -> None:
    """Do nothing at Ctrl-C and SIGTERM: the worker stops its children in order.

    A handler that does nothing, as programs that a task starts would inherit SIG_IGN.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _do_nothing)


@cache
def restore_stop_signals_in_forks() -> None:
    """Give SIGTERM and SIGINT their default effect in processes forked from this one from now on.

    Otherwise `multiprocessing.Process.terminate()` would call the handler of the worker, or of
    the web server. A signal that arrives before the handlers are restored waits until then.
    """
    os.register_at_fork(
        before=_block, after_in_parent=_restore_mask, after_in_child=_restore_handlers
    )


def _do_nothing(_number: int, _frame: object) -> None:
    pass


class _Forking(threading.local):
    mask: set[int] = set()
    """The signals that this thread blocked before it forks."""


_forking = _Forking()


def _block() -> None:
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _restore_mask() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _restore_handlers() -> None:
    signal.set_wakeup_fd(-1)  # an event loop of the parent reads the other end
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _restore_mask()
