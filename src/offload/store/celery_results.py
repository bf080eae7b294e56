"""The states and results of plain Celery tasks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from offload.models import Attempt, CeleryGroup, CeleryPart, Job
from offload.store.celery_records import CELERY, CeleryWrite, CountedPart, EndedPart, StoredResult
from offload.store.records import NewJob
from offload.store.session import MAX_ROWS_PER_STATEMENT, NEXT_VERSION, Session
from offload.store.statements import statement
from offload.timestamps import now_microseconds, to_datetime


class CeleryResults(Session):
    """Writes what Celery's workers report of tasks that no worker of ours runs.

    Reports arrive late, twice and from several processes, so a row only goes forward: a report of
    an earlier attempt, or of an earlier state of the same attempt, is refused.
    """

    def insert_celery_tasks(self, rows: Sequence[tuple[NewJob, str | None]]) -> None:
        """Add tasks that were sent, unless a worker was faster and they have rows.

        Args:
            rows: the columns, and the progress.
        """
        nothing = (0, 0, None, None, None, None)
        values = [(*self._celery_columns(row), *nothing, progress, None) for row, progress in rows]
        with transaction.atomic(self.using, savepoint=False), self.connection.cursor() as cursor:
            cursor.executemany(statement(self.dialect, "celery_insert"), values)

    def write_celery_result(self, write: CeleryWrite) -> bool:
        """Write a state, and add the row if there is none; return False if it came too late."""
        if write.failure is None:
            return self._write_celery(write)
        with transaction.atomic(self.using):
            is_written = self._write_celery(write)
            if is_written:
                self._add_celery_failure(write, write.failure)
        return is_written

    def celery_results(self, jobs: Collection[UUID]) -> list[StoredResult]:
        """Return the results of those tasks that have rows."""
        rows = Job.objects.using(self.using).filter(pk__in=jobs, backend=CELERY)
        return [StoredResult(*row) for row in rows.values_list(*StoredResult._fields)]

    def request_celery_cancel(self, job: UUID) -> bool:
        """Note that a task is to be revoked; return False if it has ended or has no row."""
        rows = Job.objects.using(self.using).filter(pk=job, backend=CELERY, finished_at=None)
        now = to_datetime(now_microseconds())
        return bool(rows.update(cancel_requested_at=now, version=NEXT_VERSION))

    # --- groups and chords --------------------------------------------------------------------

    def save_celery_group(self, group: UUID, saved: str) -> None:
        """Keep a group as Celery encodes it."""
        self._put_group("celery_group", group, saved)

    def celery_group(self, group: UUID) -> str | None:
        """Return a group as Celery has encoded it; None if it was not saved."""
        rows = CeleryGroup.objects.using(self.using).filter(pk=group)
        return rows.values_list("saved", flat=True).first()

    def grow_chord(self, group: UUID) -> None:
        """Let the body of a chord wait for one more part."""
        self._put_group("celery_part_done", group, -1)

    def delete_celery_group(self, group: UUID) -> None:
        """Delete a group and what is kept of its parts."""
        CeleryPart.objects.using(self.using).filter(chord=group).delete()
        CeleryGroup.objects.using(self.using).filter(pk=group).delete()

    def set_chord_size(self, group: UUID, size: int) -> None:
        """Write how many parts the header of a chord has."""
        self._put_group("celery_chord_size", group, size)

    def count_chord_part(self, part: EndedPart) -> CountedPart:
        """Count a part of a chord that has ended, once however often it is reported.

        If the part that was the last is reported again, before the body was called, its process
        has died: then it is the last one again.
        """
        with transaction.atomic(self.using), self.connection.cursor() as cursor:
            values = (self.key(part.chord), self.key(part.task), part.position, part.outcome)
            cursor.execute(statement(self.dialect, "celery_part"), values)
            if cursor.rowcount:  # a number, 0 for a part that was counted
                self._put_group("celery_part_done", part.chord, 1)
            groups = CeleryGroup.objects.using(self.using).filter(pk=part.chord)
            group = groups.first()
            if group is None or group.size is None or group.done != group.size:
                return CountedPart(is_last=False)
            if group.last_part is None:
                groups.update(last_part=part.task)
            return CountedPart(group.last_part in {None, part.task}, group.saved)

    def chord_outcomes(self, group: UUID) -> list[str]:
        """Return the outcomes of the parts of a chord, in the order of its header."""
        parts = CeleryPart.objects.using(self.using).filter(chord=group)
        return list(parts.order_by("position", "task").values_list("outcome", flat=True))

    def end_chord(self, group: UUID) -> None:
        """Delete the outcomes of parts, because the body has got them."""
        CeleryPart.objects.using(self.using).filter(chord=group).delete()

    def prune_celery_groups(self, *, before: datetime) -> int:
        """Delete a batch of groups and ended chords that have not changed since a time."""
        has_ended = Q(size=None) | Q(done__gte=F("size"))
        groups = CeleryGroup.objects.using(self.using).filter(has_ended, changed_at__lt=before)
        found = list(groups.values_list("pk", flat=True)[:MAX_ROWS_PER_STATEMENT])
        if found:
            CeleryPart.objects.using(self.using).filter(chord__in=found).delete()
            CeleryGroup.objects.using(self.using).filter(pk__in=found).delete()
        return len(found)

    # --- rows ---------------------------------------------------------------------------------

    def _write_celery(self, write: CeleryWrite) -> bool:
        for _ in range(2):  # the caller of the task may insert the row in between
            if self._update_celery(write):
                return True
            if self._insert_celery(write):
                return True
        return False

    def _update_celery(self, write: CeleryWrite) -> bool:
        now = now_microseconds()
        parameters: dict[str, Any] = {
            "id": self.key(UUID(write.id)),
            "state": int(write.state),
            "attempt": write.attempt,
            "fence": write.fence,
            "lowest": int(write.follows[0]),
            "highest": int(write.follows[1]),
            "worker": self.key(UUID(write.worker)),
            "run_after": write.run_after,
            "started_at": write.started_at,
            "attempted_at": write.started_at or now,
            "finished_at": now if write.state.is_finished else None,
            "progress": write.progress,
            "return_value": write.return_value,
        }
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "celery_write"), parameters)
            return bool(cursor.rowcount)

    def _insert_celery(self, write: CeleryWrite) -> bool:
        now = now_microseconds()
        has_started = write.fence > 0
        values = (
            *self._celery_columns(write.new_row()._replace(state=int(write.state))),
            write.fence,
            write.attempt,
            self.key(UUID(write.worker)),
            write.started_at,
            (write.started_at or now) if has_started else None,
            now if write.state.is_finished else None,
            write.progress,
            write.return_value,
        )
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "celery_insert"), values)
            return bool(cursor.rowcount)

    def _celery_columns(self, row: NewJob) -> NewJob:
        parent = None if row.parent is None else self.key(UUID(row.parent))
        return row._replace(id=self.key(UUID(row.id)), parent=parent)

    def _add_celery_failure(self, write: CeleryWrite, failure: tuple[str, str, str]) -> None:
        """Keep the exception, for the pages of the job."""
        job = UUID(write.id)
        fence = write.attempt
        if not fence:  # whoever wrote it does not know the attempt
            rows = Job.objects.using(self.using).filter(pk=job)
            fence = rows.values_list("fence", flat=True).first() or 1
        now = now_microseconds()
        attempt = Attempt(
            job_id=job,
            fence=fence,
            number=fence,
            worker=UUID(write.worker),
            started_at=to_datetime(write.started_at or now),
            finished_at=to_datetime(now),
            exception_class_path=failure[0][:255],
            message=failure[1],
            traceback=failure[2],
        )
        Attempt.objects.using(self.using).bulk_create([attempt], ignore_conflicts=True)

    def _put_group(self, name: str, group: UUID, value: str | int) -> None:
        values = (self.key(group), value, now_microseconds())
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, name), values)
