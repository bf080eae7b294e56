"""Enqueues the jobs of a run, as the processes of a web server do.

python -m kill_runs.sender offload|plain BURSTS JOBS SECONDS
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from kill_runs.ledger import note


def main() -> None:
    contender, *numbers = sys.argv[1:]
    bursts, jobs, seconds = (int(number) for number in numbers)
    enqueue = _enqueue_to(contender)
    pause, started_at = threading.Event(), time.monotonic()
    for burst in range(bursts):
        pause.wait(started_at + burst * seconds - time.monotonic())
        for number in range(burst * jobs + 1, (burst + 1) * jobs + 1):
            try:
                enqueue(number)
            except Exception as error:  # noqa: BLE001  # the user of a site would see an error
                print(f"refused {number}: {error!r}", flush=True)
                note("refused", number)
            else:
                note("sent", number)


def _enqueue_to(contender: str) -> Callable[[int], object]:
    if contender == "plain":
        from kill_runs.plain import run  # noqa: PLC0415

        return run.delay  # type: ignore[no-any-return]
    import django  # noqa: PLC0415

    django.setup()
    from kill_runs.tasks import run as task  # noqa: PLC0415  # needs the app registry

    return task.enqueue


if __name__ == "__main__":
    main()
