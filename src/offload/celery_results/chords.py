"""Chords: counts each part of a header once, and calls the body after the last."""

from __future__ import annotations

import logging
from typing import Any

from offload.celery_results.channel import Channel
from offload.celery_results.ids import job_id
from offload.celery_results.library import (
    BaseBackend,
    ChordError,
    GroupResult,
    allow_join_result,
    lazy_results,
    maybe_signature,
    states,
)
from offload.celery_results.meta import pack, unpack
from offload.store.celery_records import CountedPart, EndedPart

logger = logging.getLogger("offload.celery")

LAST_POSITION = 2**31 - 1
"""The place of a part that has none in the header."""


class Chords(BaseBackend):  # type: ignore[misc]  # untyped
    """What a result backend does for chords and groups."""

    def channel(self, request: Any = None) -> Channel:
        """Return the way in which this process writes."""
        raise NotImplementedError

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Keep a header that has groups: the body gets its results in the same form."""
        if isinstance(header_result_args[1], lazy_results):
            return  # of a generator, which must not be read here
        header = self.app.GroupResult(*header_result_args)
        if any(isinstance(result, GroupResult) for result in header.results):
            header.save(backend=self)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        group = job_id(group_id)
        self.channel().call(lambda store: store.set_chord_size(group, chord_size))

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        group = job_id(chord_id)
        self.channel().call(lambda store: store.grow_chord(group))

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        if not request.group or not request.id:
            return
        part = self.ended_part(request, state, result)
        self.follow_part(
            request, self.channel(request).call(lambda store: store.count_chord_part(part))
        )

    def ended_part(self, request: Any, state: str, result: Any) -> EndedPart:
        """Return a part of a chord as it is stored."""
        index = request.group_index
        outcome = self.encode([request.id, state, self.encode_result(result, state)])
        return EndedPart(
            job_id(request.group),
            job_id(request.id),
            LAST_POSITION if index is None else int(index),
            pack(outcome),
        )

    def follow_part(self, request: Any, counted: CountedPart) -> None:
        """Call the body of a chord if the part was the last one."""
        if counted.is_last:
            self._call_body(request, counted)

    def _call_body(self, request: Any, counted: CountedPart) -> None:
        group = job_id(request.group)
        body = maybe_signature(request.chord, app=self.app)
        try:
            values = self._joined(request) if counted.saved else self._values(group)
        except ChordError as error:
            self.chord_error_from_stack(body, error)
        except Exception as error:
            logger.exception("The results of the chord %s could not be joined.", request.group)
            self.chord_error_from_stack(body, _chord_error(f"Join error: {error!r}", error))
        else:
            try:
                body.delay(values)
            except Exception as error:
                logger.exception("The body of the chord %s could not be called.", request.group)
                self.chord_error_from_stack(body, _chord_error(f"Callback error: {error!r}", error))
        self.channel(request).call(lambda store: store.end_chord(group))

    def _values(self, group: Any) -> list[Any]:
        """Return the values of the parts.

        Raises:
            ChordError: if one has failed; the exception of the part is its cause.
        """
        outcomes = self.channel().call(lambda store: store.chord_outcomes(group))
        return [self._value(*self.decode(unpack(outcome))) for outcome in outcomes]

    def _value(self, task_id: str, state: str, value: Any) -> Any:
        if state not in states.EXCEPTION_STATES:
            return value
        error = self.exception_to_python(value)
        if state in states.PROPAGATE_STATES:
            raise _chord_error(f"Dependency {task_id} raised {error!r}", error)
        return error

    def _joined(self, request: Any) -> list[Any]:
        """Return the results of a header that has groups, in the form of the header."""
        header = self.app.GroupResult.restore(request.group, backend=self)
        header.on_ready()
        try:
            with allow_join_result():
                values: list[Any] = header.join_native(
                    timeout=self.app.conf.result_chord_join_timeout, propagate=True
                )
        except Exception as error:
            raise _chord_error(f"A dependency raised {error!r}", error) from error
        return values


def _chord_error(message: str, cause: BaseException) -> Any:
    error = ChordError(message)
    error.__cause__ = cause
    return error
