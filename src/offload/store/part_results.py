"""The results of parts of workflows, where other parts refer to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

from offload.exceptions import InvalidArguments
from offload.lifecycle import JobState
from offload.serialization import decode
from offload.store.session import Session
from offload.store.statements import statement
from offload.store.workflow_records import RESULT, RESULTS

MAX_HANDOVERS = 10
"""How often a result may be handed over to another part, one after the other."""


class ResultSource(NamedTuple):
    """A part whose result fills a slot."""

    id: str
    state: int | None
    return_value: str | None
    is_handed_over: bool


type SlotSources = dict[int, list[ResultSource]]
"""The parts whose results fill each slot of a job, in order."""


class SourceReader(Protocol):
    """The store, or the jobs of a test in memory."""

    def read_sources(
        self, jobs: Collection[str], sign: int, max_size: int
    ) -> tuple[dict[str, SlotSources], int]:
        """Return the parts whose results fill the slots of jobs, and the size of the results."""


class PartResults(Session):
    """Reads the results to which a job refers."""

    def fill_in(self, job: str, value: Any, *, max_size: int, of_arguments: bool) -> Any:
        """Return a value with the results of other parts in the place of the references to them.

        Args:
            job: the job to which the value belongs, as `key` returns its id.
            value: its arguments, or its return value.
            max_size: bytes of JSON of all results together.
            of_arguments: whether the value is its arguments.

        Raises:
            InvalidArguments: if the results are too large, or handed over too often.
        """
        reader = ResultsReader(self, max_size)
        reader.read({job}, sign=1 if of_arguments else -1)
        return reader.fill_in(value, job)

    def read_sources(
        self, jobs: Collection[str], sign: int, max_size: int
    ) -> tuple[dict[str, SlotSources], int]:
        """Return the parts whose results fill the slots of jobs, and the size of the results."""
        parameters = {"ids": self._list(sorted(jobs)), "sign": sign, "max_size": max_size}
        slots: defaultdict[str, SlotSources] = defaultdict(lambda: defaultdict(list))
        size = 0
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "results"), parameters)
            for child, slot, parent, state, value, total, is_handed_over in cursor.fetchall():
                source = ResultSource(self.key(parent), state, value, bool(is_handed_over))
                slots[self.key(child)][abs(slot)].append(source)
                size = int(total)
        return slots, size


class ResultsReader:
    """Reads results step by step: those of a job, then those to which they were handed over."""

    def __init__(self, store: SourceReader, max_size: int) -> None:
        self._store = store
        self._max_size = max_size
        self._size = 0
        self._slots: dict[str, SlotSources] = {}
        self._values: dict[str, Any] = {}

    def read(self, jobs: set[str], *, sign: int) -> None:
        for _ in range(MAX_HANDOVERS + 1):
            found, size = self._store.read_sources(jobs, sign, self._max_size - self._size)
            self._size += size
            if self._size > self._max_size:
                raise InvalidArguments(
                    f"The results of the nodes before it are {self._size:,} bytes of JSON; at most "
                    f"{self._max_size:,} are allowed. Let these nodes store their data and return "
                    "its id or path, or raise OPTIONS['max_arguments_size']."
                )
            self._slots |= found
            sources = [
                source for slots in found.values() for row in slots.values() for source in row
            ]
            jobs = {source.id for source in sources if source.is_handed_over} - self._slots.keys()
            sign = -1
            if not jobs:
                return
        raise InvalidArguments(
            f"A result was handed over more than {MAX_HANDOVERS} times, from one node to the next. "
            "Return the value itself earlier."
        )

    def fill_in(self, value: Any, job: str) -> Any:
        slots = self._slots.get(job)
        return _filled_in(value, slots, self._value_of) if slots else value

    def _value_of(self, source: ResultSource) -> Any:
        if source.id not in self._values:
            value = None
            if source.state == JobState.SUCCESSFUL and source.return_value is not None:
                value = decode(source.return_value)
                if source.is_handed_over:
                    value = self.fill_in(value, source.id)
            self._values[source.id] = value
        return self._values[source.id]


def _filled_in(value: Any, slots: SlotSources, value_of: Any) -> Any:
    if isinstance(value, list):
        return [_filled_in(item, slots, value_of) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and RESULTS in value:
            return [value_of(source) for source in slots.get(abs(value[RESULTS]), ())]
        if len(value) == 1 and RESULT in value:
            return value_of(slots[abs(value[RESULT])][0])
        return {key: _filled_in(item, slots, value_of) for key, item in value.items()}
    return value
