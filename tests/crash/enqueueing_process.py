"""A minimal web process: it commits business rows, each with a job, in one transaction each."""

from __future__ import annotations

import sys
from functools import partial

import django

django.setup()

from django.db import transaction  # noqa: E402

from offload.failpoints import failpoint  # noqa: E402
from tests.crash import execution_log, tasks  # noqa: E402
from tests.models import Effect  # noqa: E402


def main(count: int, kind: str = "") -> None:
    for number in range(count):
        token = f"t{number}"
        with transaction.atomic():
            transaction.on_commit(partial(failpoint, "enqueue.committed"))
            Effect.objects.create(token=token)
            if kind == "limited":
                job = tasks.limited.enqueue(token, "a")
            elif kind == "replaced":
                job = tasks.replaced.enqueue(token)
            else:
                job = tasks.note.enqueue(token)
        execution_log.write("enqueued", token, value=job.id)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
