"""Named places where a crash test may strike. A no-op unless the environment arms it.

`OFFLOAD_FAILPOINT=engine.claimed:kill` ends the process at the first passage through
`engine.claimed`; `engine.claimed:kill@3` at the third. Other actions are `raise` (an OSError),
`outage` (Django's OperationalError, as from a connection that broke), `stop` (SIGSTOP) and
`exit` (os._exit with 0). Several are separated by commas.

`OFFLOAD_FAILPOINT_MARK` names a file that is made by the first strike and holds its process id:
while it exists nobody strikes again, so processes that are started anew work.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

ENVIRONMENT = "OFFLOAD_FAILPOINT"
MARK = "OFFLOAD_FAILPOINT_MARK"

_armed: dict[str, tuple[str, int]] = {}
_passages: Counter[str] = Counter()


class FailpointReached(OSError):
    """Raised by an armed failpoint whose action is `raise`."""


def _do_nothing(name: str) -> None:
    """Stand in for every failpoint in production."""


def _strike(name: str) -> None:
    action, passage = _armed.get(name, ("", 0))
    if not action:
        return
    _passages[name] += 1
    if _passages[name] != passage or not _leave_mark():
        return
    if action == "raise":
        raise FailpointReached(name)
    if action == "outage":
        from django.db import OperationalError  # noqa: PLC0415  # production never comes here

        raise OperationalError(name)
    if action == "exit":
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSTOP if action == "stop" else signal.SIGKILL)


def _leave_mark() -> bool:
    """Return False if somebody has struck before."""
    if MARK not in os.environ:
        return True
    try:
        mark = os.open(os.environ[MARK], os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    os.write(mark, str(os.getpid()).encode())
    os.close(mark)
    return True


def _arm(text: str) -> None:
    for part in filter(None, text.split(",")):
        name, _, action = part.partition(":")
        action, _, passage = action.partition("@")
        _armed[name] = (action or "kill", int(passage or 1))


_arm(os.environ.get(ENVIRONMENT, ""))
failpoint = _strike if _armed else _do_nothing
