"""The calls of a task whose jobs are unique: from calls to jobs, and from jobs to results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from offload.exceptions import AlreadyEnqueued
from offload.reserved_ids import give_back_reserved_id, take_reserved_id
from offload.store.records import UniqueCall
from offload.uuid7 import new_id

if TYPE_CHECKING:
    from offload.backends.calls import EncodedCall
    from offload.backends.rows import JobBatch
    from offload.results import OffloadResult
    from offload.store.limit_records import KeysToOpen


class UniqueCalls:
    """The calls of one `enqueue_many`, of which those with the same key share a job.

    Args:
        batch: their jobs.
        encoded: the calls.
        key: converts a job's id to the value that the store takes.

    Attributes:
        calls: one for each key; its arguments are those of the last call if calls replace each
            other, else those of the first.
        limits: the keys of their limits.

    Raises:
        InvalidTask: if a key cannot be made of the arguments.
    """

    def __init__(
        self, batch: JobBatch, encoded: Sequence[EncodedCall], key: Callable[[UUID], str]
    ) -> None:
        self._batch = batch
        self._encoded = encoded
        self._keys = batch.unique_keys(encoded)
        limited = batch.limit_keys(encoded)
        self.limits: KeysToOpen = {} if limited is None else limited.details
        limit_keys = [None] * len(encoded) if limited is None else limited.keys
        indexes = list(enumerate(self._keys))
        chosen = indexes if batch.replaces else indexes[::-1]
        self._chosen = {unique_key: index for index, unique_key in chosen}
        self._reserved = take_reserved_id() if encoded else None
        self.calls: list[UniqueCall] = []
        for unique_key, index in self._chosen.items():
            is_first = unique_key == self._keys[0]
            pk = key((self._reserved if is_first else None) or new_id())
            self.calls.append(UniqueCall(pk, encoded[index][0], limit_keys[index], unique_key))

    def finish(self, holders: Mapping[str, OffloadResult[Any]]) -> list[OffloadResult[Any]]:
        """Return the result of each call.

        Args:
            holders: the jobs that held keys of calls already, by key.

        Raises:
            AlreadyEnqueued: if there are any, and the task asks for this error.
        """
        if self._reserved is not None and self._keys[0] in holders:
            give_back_reserved_id(self._reserved)
        if holders and self._batch.raises:
            raise _refusal(holders)
        ids = {call.unique_key: call.id for call in self.calls}
        results: list[OffloadResult[Any]] = []
        returned = set()
        for unique_key in self._keys:
            if unique_key in holders:
                results.append(holders[unique_key])
            else:
                _, args, kwargs = self._encoded[self._chosen[unique_key]]
                is_new = unique_key not in returned
                results.append(self._batch.result(ids[unique_key], args, kwargs, is_new=is_new))
                returned.add(unique_key)
        return results


def _refusal(holders: Mapping[str, OffloadResult[Any]]) -> AlreadyEnqueued:
    key, result = next(iter(holders.items()))
    return AlreadyEnqueued(
        f"The job {result.id} of {result.task.module_path!r}, which is {result.state}, holds the "
        f"key {key!r} of this call.",
        result,
    )
