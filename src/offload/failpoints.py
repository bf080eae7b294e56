"""Named places where a crash test may interrupt the process. A no-op in production.

`OFFLOAD_FAILPOINT=exchange.claimed:kill` kills the process when it first reaches
`exchange.claimed`, `exchange.claimed:kill@3` at the third time. Other actions are `raise` (an
OSError), `outage` (Django's OperationalError, as of a lost connection), `stop` (SIGSTOP) and
`exit` (`os._exit(0)`). Several failpoints are separated by commas.

`OFFLOAD_FAILPOINT_MARK` names a file. The first failpoint to act creates it with its process id.
While the file exists no failpoint acts, so that restarted processes work.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

ENVIRONMENT_VARIABLE = "OFFLOAD_FAILPOINT"
MARK_VARIABLE = "OFFLOAD_FAILPOINT_MARK"

_armed: dict[str, tuple[str, int]] = {}
"""The action of each failpoint, and how many times it is reached until it acts."""
_reached: Counter[str] = Counter()
"""How many times each armed failpoint was reached."""


class FailpointReached(OSError):
    """Raised by a failpoint whose action is `raise`."""


def _do_nothing(name: str) -> None:
    """Stand in for every failpoint in production."""


def _reach(name: str) -> None:
    if name not in _armed:
        return
    action, count = _armed[name]
    _reached[name] += 1
    if _reached[name] == count and _create_mark():
        _act(name, action)


def _act(name: str, action: str) -> None:
    match action:
        case "raise":
            raise FailpointReached(name)
        case "outage":
            from django.db import OperationalError  # noqa: PLC0415  # only in tests

            raise OperationalError(name)
        case "exit":
            os._exit(0)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case _:
            os.kill(os.getpid(), signal.SIGKILL)


def _create_mark() -> bool:
    """Create the file of OFFLOAD_FAILPOINT_MARK; return False if a failpoint has acted before."""
    if MARK_VARIABLE not in os.environ:
        return True
    try:
        mark = os.open(os.environ[MARK_VARIABLE], os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    os.write(mark, str(os.getpid()).encode())
    os.close(mark)
    return True


def _arm(text: str) -> None:
    for part in filter(None, text.split(",")):
        name, _, rule = part.partition(":")
        action, _, count = rule.partition("@")
        _armed[name] = (action or "kill", int(count or 1))


_arm(os.environ.get(ENVIRONMENT_VARIABLE, ""))
failpoint = _reach if _armed else _do_nothing
