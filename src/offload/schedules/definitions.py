"""Definitions of schedules: from the options in code or settings to the columns of a row."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any, NamedTuple, TypedDict
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.tasks import Task
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend
from django.utils import timezone

from offload.backends.base import get_backend
from offload.backends.calls import EncodedCall, encode_calls
from offload.backends.rows import attempt_limits, attempt_timeout
from offload.conf import BackendOptions, did_you_mean
from offload.durations import seconds
from offload.exceptions import InvalidSchedule
from offload.policies.cron import find_zone, make_cron
from offload.policies.ticks import CATCH_UPS, MIN_INTERVAL, OVERLAPS, Timing
from offload.store.limit_records import KeyDetails, LimitNumbers
from offload.store.schedule_records import (
    WAIT_LIMIT,
    JobTemplate,
    ScheduleDefinition,
    UniqueTick,
)
from offload.task_limits import limit_of
from offload.task_lookup import with_options
from offload.task_unique import unique_of
from offload.tasks import Duration
from offload.timestamps import to_microseconds

MAX_NAME_LENGTH = 100
"""Characters of a name."""
TICKS_LOOKED_AT = 10
"""How many ticks are looked at to find the shortest time between two, for the jitter."""
LOOKED_AT_FROM = to_microseconds(datetime(2001, 1, 1, tzinfo=UTC))
"""The time from which expressions are checked. It is fixed: checked from now on, the same code
would be right in summer, and wrong in the weeks when the clock is changed."""
MICROSECONDS = 1_000_000


class ScheduleOptions(TypedDict, total=False):
    """The options of a schedule.

    Attributes:
        every: the interval, in seconds or as a timedelta, instead of an expression.
        args: positional arguments of the task.
        kwargs: its arguments by name.
        priority: instead of the task's.
        queue_name: instead of the task's.
        timezone: of the expression; TIME_ZONE by default.
        start: no tick is before it. A naive one is in the schedule's time zone.
        end: no tick is after it.
        jitter: by how much a tick is delayed at most.
        catch_up: what becomes of ticks that were missed while no worker ran: "once", "all" or
            "skip".
        deadline: a tick that is later than this makes no job.
        overlap: what becomes of a tick while the job of the tick before is not finished: "skip",
            "allow" or "wait".
    """

    every: Duration | None
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    priority: int | None
    queue_name: str | None
    timezone: str | ZoneInfo | None
    start: datetime | None
    end: datetime | None
    jitter: Duration
    catch_up: str
    deadline: Duration | None
    overlap: str


OPTIONS = list(ScheduleOptions.__annotations__)


class Schedulable(NamedTuple):
    """What a schedule is for, and where it is defined.

    Attributes:
        task: the task, with the backend of its jobs.
        name: of the schedule.
        source: "code", "settings" or "admin".
    """

    task: Task[..., Any]
    name: str
    source: str


def define(target: Schedulable, cron: str | None, options: ScheduleOptions) -> ScheduleDefinition:
    """Return the columns of a schedule.

    Raises:
        InvalidSchedule: if it could not tick.
        ImproperlyConfigured: if the task's backend is not django-offload's.
    """
    _require_options(options)
    validate_name(target.name)
    start, zone = options.get("start"), _zone(options)
    timing = Timing(
        *_when(cron, options.get("every"), zone),
        zone,
        _moment("start", start, zone),
        _moment("end", options.get("end"), zone),
    )
    overlap = _choice("overlap", options, OVERLAPS)
    catch_up = _choice("catch_up", options, CATCH_UPS)
    if catch_up == "all" and overlap == "skip":
        raise InvalidSchedule(
            'catch_up="all" makes several jobs at once, and overlap="skip" would skip all but one '
            'of them. Choose overlap="wait" or overlap="allow" with it.',
            option="overlap",
        )
    jitter = _duration("jitter", options.get("jitter") or 0)
    _require_ticks(timing, jitter)
    deadline = options.get("deadline")
    template, arguments = _template(target, options, waits=overlap == "wait")
    return ScheduleDefinition(
        name=target.name,
        source=target.source,
        backend=target.task.backend,
        task_path=target.task.module_path,
        arguments=arguments,
        priority=options.get("priority"),
        queue_name=options.get("queue_name") or "",
        job=template.to_json(),
        cron=timing.cron,
        every=timing.every,
        timezone=zone,
        start_at=timing.start,
        end_at=timing.end,
        jitter=jitter,
        catch_up=catch_up,
        deadline=None if deadline is None else _duration("deadline", deadline),
        overlap=overlap,
    )


def broken(
    target: Schedulable, cron: str | None, options: Mapping[str, Any], error: str
) -> ScheduleDefinition:
    """Return the columns of a schedule that cannot tick, so that it is shown with the reason."""
    return ScheduleDefinition(
        name=str(target.name)[:MAX_NAME_LENGTH],
        source=target.source,
        backend=target.task.backend,
        task_path=target.task.module_path,
        arguments="[[], {}]",
        priority=None,
        queue_name="",
        job="",
        cron=str(cron or f"every {options.get('every')}")[:200],
        every=None,
        timezone=str(options.get("timezone") or settings.TIME_ZONE)[:64],
        start_at=None,
        end_at=None,
        jitter=0.0,
        catch_up=CATCH_UPS[0],
        deadline=None,
        overlap=OVERLAPS[0],
        error=error,
    )


def template_of(task: Task[..., Any], options: BackendOptions) -> JobTemplate:
    """Return the columns of a task's jobs, without its limit."""
    max_attempts, max_worker_losses = attempt_limits(task, options)
    expires = getattr(task, "expires", None)
    return JobTemplate(
        queue_name=task.queue_name,
        priority=int(task.priority),
        is_async=inspect.iscoroutinefunction(task.func),
        timeout=attempt_timeout(task, options),
        max_attempts=max_attempts,
        max_worker_losses=max_worker_losses,
        expires=None if expires is None else seconds(expires),
    )


def validate_name(name: Any) -> None:
    """Raise InvalidSchedule for a name that a schedule cannot have."""
    is_text = isinstance(name, str) and name.strip() == name and name.isprintable()
    if not is_text or not 1 <= len(name) <= MAX_NAME_LENGTH or ":" in name:
        raise InvalidSchedule(
            f"The name of a schedule must be text of 1 to {MAX_NAME_LENGTH} characters without a "
            f"colon, not {name!r}.",
            option="name",
        )


def _require_options(options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in OPTIONS:
            raise InvalidSchedule(
                f"A schedule has no option {name!r}.{did_you_mean(name, OPTIONS)}"
            )


# --- times --------------------------------------------------------------------------------


def _zone(options: ScheduleOptions) -> str:
    name = options.get("timezone") or settings.TIME_ZONE
    if isinstance(name, ZoneInfo):
        name = name.key
    try:
        find_zone(name)
    except ValueError as error:
        raise InvalidSchedule(str(error), option="timezone") from None
    return name


def _when(cron: Any, every: Any, zone: str) -> tuple[str, int | None]:
    """Return the expression, or the interval in microseconds."""
    if isinstance(cron, timedelta) and every is None:
        raise InvalidSchedule(f"{cron!r} is no cron expression: write every={cron!r}.")
    if (cron is None) == (every is None):
        problem = "it has neither" if cron is None else f"not both {cron!r} and {every!r}"
        raise InvalidSchedule(
            "A schedule needs a cron expression such as '0 3 * * *', or every=timedelta(hours=1): "
            f"{problem}.",
            option="cron",
        )
    if cron is not None:
        try:
            make_cron(cron, zone)
        except ValueError as error:
            raise InvalidSchedule(str(error), option="cron") from None
        return " ".join(cron.split()), None
    interval = round(_duration("every", every) * MICROSECONDS)
    if interval < MIN_INTERVAL:
        raise InvalidSchedule(f"every must be at least a second, not {every!r}.", option="every")
    return "", interval


def _moment(name: str, value: Any, zone: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidSchedule(f"{name} must be a datetime, not {value!r}.", option=name)
    if timezone.is_naive(value):
        value = value.replace(tzinfo=find_zone(zone))
    return to_microseconds(value)


def _duration(name: str, value: Any) -> float:
    try:
        return seconds(value)
    except (TypeError, ValueError) as error:
        raise InvalidSchedule(f"{name}: {error}", option=name) from None


def _choice(name: str, options: Mapping[str, Any], choices: tuple[str, ...]) -> str:
    value = options.get(name) or choices[0]
    if value not in choices:
        raise InvalidSchedule(
            f"{name} cannot be {value!r}. Choices are: {', '.join(choices)}.",
            option=name,
        )
    return str(value)


def _require_ticks(timing: Timing, jitter: float) -> None:
    """Refuse an end before the start, and a jitter that lets ticks overtake each other."""
    if timing.start is not None and timing.end is not None and timing.end < timing.start:
        raise InvalidSchedule("The end of the schedule is before its start.", option="end")
    anytime = timing._replace(end=None)
    ticks = list(islice(anytime.ticks_after(LOOKED_AT_FROM), TICKS_LOOKED_AT))
    gap = min((after - before for before, after in pairwise(ticks)), default=None)
    if gap is not None and jitter * MICROSECONDS >= gap:
        raise InvalidSchedule(
            f"jitter must be shorter than the {gap / MICROSECONDS:g} s between two ticks, not "
            f"{jitter:g} s.",
            option="jitter",
        )


# --- jobs ---------------------------------------------------------------------------------


def _template(
    target: Schedulable, options: ScheduleOptions, *, waits: bool
) -> tuple[JobTemplate, str]:
    """Return the columns of the jobs, and their arguments as JSON text."""
    task = target.task
    changes = {name: options.get(name) for name in ("priority", "queue_name")}
    task = with_options(task, **{name: value for name, value in changes.items() if value})
    if changes["priority"] is not None:
        task = with_options(task, priority=changes["priority"])
    try:
        backend = get_backend(task.backend)
        backend.validate_task(task)
        calls = [(tuple(options.get("args") or ()), dict(options.get("kwargs") or {}))]
        (call,) = encode_calls(task, calls, max_bytes=backend.settings.max_arguments_size)
        template = _with_limit(task, call, template_of(task, backend.settings))
        template = template._replace(unique=_unique_tick(task, call))
    except (InvalidTask, InvalidTaskBackend, TypeError, ValueError) as error:
        text = str(error)
        if task.module_path not in text:
            text = f"{task.module_path}: {text}"
        raise InvalidSchedule(text) from error
    if waits:
        template = _waiting(target, template)
    return template, call[0]


def _unique_tick(task: Task[..., Any], call: EncodedCall) -> UniqueTick | None:
    """Return what is unique about the jobs; a tick has no owner and no tenant."""
    unique = unique_of(task)
    if unique is None:
        return None
    _, args, kwargs = call
    within, delay, maximum = (
        None if duration is None else duration // timedelta(microseconds=1)
        for duration in (unique.within, unique.delay, unique.maximum)
    )
    key = unique.key(args, kwargs, tenant="", owner="")
    return UniqueTick(key, int(unique.until), within, unique.replaces, delay or 0, maximum)


def _with_limit(task: Task[..., Any], call: EncodedCall, template: JobTemplate) -> JobTemplate:
    limit = limit_of(task)
    if limit is None:
        return template
    _, args, kwargs = call
    details = KeyDetails(
        limit.name,
        LimitNumbers(**limit.numbers).to_json(),
        task.backend,
        task.queue_name,
        template.is_async,
        limit.maximum(args, kwargs),
        weight=limit.weight(args, kwargs),
    )
    key = limit.key(args, kwargs, tenant="", owner="")
    return template._replace(limit_key=key, limit=details)


def _waiting(target: Schedulable, template: JobTemplate) -> JobTemplate:
    """Let the jobs of a schedule run one after the other."""
    if template.limit_key is not None:
        raise InvalidSchedule(
            f'{target.task.module_path} has a limit already, and overlap="wait" would be another '
            'one. Use overlap="allow" and concurrency=Concurrency(1) of the task.',
            option="overlap",
        )
    name = f"{WAIT_LIMIT}{target.name}"
    details = KeyDetails(
        name,
        LimitNumbers(max_running=1).to_json(),
        target.task.backend,
        template.queue_name,
        template.is_async,
    )
    return template._replace(limit_key=f"{name}:", limit=details)


def backend_options(alias: str) -> BackendOptions | None:
    """Return the options of a backend; None if it is not django-offload's, or they are wrong."""
    try:
        return get_backend(alias).settings
    except (InvalidTaskBackend, ImproperlyConfigured):
        return None
