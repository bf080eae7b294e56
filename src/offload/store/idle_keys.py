"""Prunes the keys of limits that are not in use, and limits that no code has any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import CharField, Exists, Max, OuterRef, Value
from django.db.models.functions import Concat

from offload.lifecycle import JobState
from offload.models import Job, Limit, LimitKey, LimitNotice, Worker
from offload.store.limit_notices import LimitNotices
from offload.store.limit_records import ALL_KEYS_END, HOLDS, WAITS
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.timestamps import now_microseconds, to_microseconds

if TYPE_CHECKING:
    from django.db.models import QuerySet

MIN_IDLE_MICROSECONDS = 3_600_000_000
"""For how long no job of a pruned key has been due by its rate, whatever this host's clock says."""


class IdleKeys(LimitNotices):
    """Deletes keys of which no job waits or runs; the next job makes its key again.

    Also deletes limits that no code has: their next job makes them again, too.
    """

    def prune_keys(self, after: str = "") -> tuple[int, str]:
        """Look at 1,000 keys, delete those that are not in use, and add notices of forgotten ones.

        A key with a number of its own stays, as only its next new job would bring the number back.

        Args:
            after: the last key of the batch before.

        Returns:
            How many were deleted, and the last key that was looked at; "" after the last batch.
        """
        keys = LimitKey.objects.using(self.using)
        rest = keys.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)
        batch = list(rest[:MAX_ROWS_PER_STATEMENT])
        deleted = 0
        if batch:
            self._notice_forgotten(keys.filter(pk__in=batch))
            deleted = self._delete_idle(keys.filter(pk__in=batch))
        return deleted, batch[-1] if len(batch) == MAX_ROWS_PER_STATEMENT else ""

    def last_seen(self) -> int:
        """Return when some process last looked which limits its code has, in microseconds.

        Workers do so all the time; while none runs, no limit is missed.
        """
        seen_at = Limit.objects.using(self.using).aggregate(seen_at=Max("seen_at"))["seen_at"]
        heartbeat = Worker.objects.using(self.using).aggregate(at=Max("heartbeat_at"))["at"]
        return max(seen_at or 0, to_microseconds(heartbeat) if heartbeat else 0)

    def prune_limits(self, unseen: int) -> list[str]:
        """Delete limits that no code has had for a time, and return their names.

        One stays while it has jobs that have not ended, or numbers of an operator.

        Args:
            unseen: for how long, in microseconds.
        """
        limits = Limit.objects.using(self.using)
        unused = limits.filter(seen_at__lt=self.last_seen() - unseen, override="")
        if not unused.exists():
            return []
        with transaction.atomic(self.using):
            self._prepare_transaction(waits=True)
            locked = unused.select_for_update(skip_locked=True).values_list("pk", flat=True)
            names = [name for name in locked if not self._is_used(name)]
            LimitKey.objects.using(self.using).filter(name__in=names).delete()
            limits.filter(pk__in=names).delete()
        return names

    def _is_used(self, name: str) -> bool:
        """Return whether a limit has jobs that have not ended, or notices."""
        low, high = f"{name}:", f"{name}{ALL_KEYS_END}"
        jobs = Job.objects.using(self.using)
        notices = LimitNotice.objects.using(self.using)
        return (
            any(
                jobs.filter(limit_slot__gte=start + low, limit_slot__lt=start + high).exists()
                for start in (WAITS, HOLDS)
            )
            or jobs.filter(
                state__in=(JobState.BLOCKED, JobState.SCHEDULED),
                limit_key__gte=low,
                limit_key__lt=high,
            ).exists()
            or notices.filter(limit_key__gte=low, limit_key__lt=high).exists()
        )

    def _delete_idle(self, keys: QuerySet[LimitKey]) -> int:
        """Lock keys, then look for jobs: before the lock a worker may have claimed some."""
        unused = keys.filter(
            open_at=None,
            max_running=None,
            weight=None,
            free_at__lt=now_microseconds() - MIN_IDLE_MICROSECONDS,
        )
        with transaction.atomic(self.using):
            self._prepare_transaction(waits=True)
            locked = unused.select_for_update(skip_locked=True).values_list("pk", flat=True)
            idle = list(
                keys.filter(pk__in=list(locked))
                .exclude(_has_jobs(WAITS, HOLDS))
                .values_list("pk", flat=True)
            )
            return keys.filter(pk__in=idle).delete()[0] if idle else 0

    def _notice_forgotten(self, keys: QuerySet[LimitKey]) -> None:
        """Add notices of closed keys whose jobs wait although none runs whose end would open them.

        A worker that finishes a job leaves no notice if it sees none waiting, and looks again
        after the commit. If it dies in between, one that came before the commit is forgotten.
        """
        closed = keys.filter(_has_jobs(WAITS), open_at=None).exclude(_has_jobs(HOLDS))
        if forgotten := set(closed.values_list("pk", flat=True)):
            notices = LimitNotice.objects.using(self.using).filter(limit_key__in=forgotten)
            forgotten -= set(notices.values_list("limit_key", flat=True).distinct())
            self.add_notices(dict.fromkeys(sorted(forgotten)))


def _has_jobs(*starts: str) -> Exists:
    """Return the condition that some `limit_slot` of a key is in use, by how these start."""
    slots = [Concat(Value(start), OuterRef("pk"), output_field=CharField()) for start in starts]
    return Exists(Job.objects.filter(limit_slot__in=slots))
