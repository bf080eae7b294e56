"""The queues of a project, and what becomes of the messages in each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from offload.celery.tasks.current import get_current_app
from offload.celery.tasks.registry import tasks
from offload.from_celery.brokers import Broker, BrokerUnavailable, Delivery, Queue
from offload.from_celery.carrying import CannotCarry, Carrier
from offload.from_celery.known_settings import queue_names
from offload.from_celery.opening import answering_workers, open_broker
from offload.from_celery.report import Item, Section
from offload.from_celery.settings import Setting, broker_of

NO_BROKER = "No setting names a broker. Pass --broker, if there is one."
STOP_WORKERS = "Stop Celery's workers: those that were told to stop give their messages back."


class Wishes(NamedTuple):
    """What the options of the command say about messages.

    Attributes:
        write: make jobs of them.
        held: also those that workers hold.
        allow_pickle: also pickled ones.
        broker: the URL of the broker; that of the settings if empty.
        queues: the names of the queues; those that the project names if empty.
    """

    write: bool = False
    held: bool = False
    allow_pickle: bool = False
    broker: str = ""
    queues: tuple[str, ...] = ()


def names_of_queues(found: Mapping[str, Setting], of_celery: Mapping[str, Any]) -> set[str]:
    """Return the queues that the settings and the tasks of a project name.

    Args:
        found: the settings.
        of_celery: the tasks that are still Celery's.
    """
    values = {name: setting.value for name, setting in found.items()}
    names = {str(values.get("task_default_queue") or get_current_app().conf.task_default_queue)}
    names.update(queue_names(values.get("task_queues")))
    routes = values.get("task_routes")
    for route in routes if isinstance(routes, list | tuple) else [routes]:
        if isinstance(route, Mapping):
            names.update(_queue_of(target) for target in route.values())
    for entry in (values.get("beat_schedule") or {}).values():
        names.add(_queue_of(entry.get("options") or {}))
    for task in (*tasks.values(), *of_celery.values()):
        names.add(_queue_of({"queue": getattr(task, "queue", None)}))
    return names - {""}


def messages_section(
    settings: Mapping[str, Setting], wishes: Wishes, names: Iterable[str]
) -> Section:
    """Return what becomes of the messages, and carry them if that is wished.

    Args:
        settings: of the project.
        wishes: the options of the command.
        names: the queues.

    Raises:
        LookupError: if workers answer although `--held` says that none runs.
    """
    section = Section("messages", "Messages that wait in the broker")
    url = wishes.broker or broker_of(settings)
    if not url:
        section.unread.append(NO_BROKER)
        return section
    values = {name: setting.value for name, setting in settings.items()}
    try:
        with open_broker(url, values) as (connection, broker):
            if wishes.held and wishes.write:
                exchange = values.get("control_exchange") or "celery"
                _require_stopped(answering_workers(connection, exchange))
            for name in names:
                section.items += _queue_items(broker, name, wishes)
            section.items += _other_queues(broker, set(names))
    except BrokerUnavailable as error:
        section.items.append(Item("all queues", by_hand=str(error), is_left=True))
    return section


def _queue_items(broker: Broker, name: str, wishes: Wishes) -> Iterator[Item]:
    queue = broker.queue(name)
    waiting, held = (0, 0) if queue is None else (queue.waiting, queue.held)
    if queue is None or not (waiting or held or queue.consumers):
        if name in wishes.queues:
            yield Item(_title(name, 0), "nothing: there is none in a queue of this name")
        return
    if queue.consumers:
        yield _consumed(queue)
        return
    if not (queue.can_peek or wishes.write):
        yield Item(
            _title(name, waiting),
            "jobs, if their tasks are known: RabbitMQ shows none before --write takes it",
        )
        return
    carrier = Carrier(is_redis=broker.is_redis, allow_pickle=wishes.allow_pickle)
    tally = Tally(name)
    for delivery in queue.deliveries(held=wishes.held):
        tally.add(delivery, carrier, write=wishes.write)
    yield from tally.items(write=wishes.write)
    if held and not wishes.held:
        yield Item(
            f"{name}: {_count(held)} that workers hold",
            by_hand=f"{STOP_WORKERS} If they were killed, pass --held.",
            is_left=True,
        )


def _consumed(queue: Queue) -> Item:
    return Item(
        _title(queue.name, queue.waiting),
        by_hand=f"{queue.consumers} of Celery's workers take messages from it, and may hold "
        f"others. {STOP_WORKERS}",
        is_left=True,
    )


@dataclass(slots=True)
class Tally:
    """What has become of the messages of a queue.

    Attributes:
        queue: its name.
        carried: those that became jobs, by task.
        known: how many were jobs already, and are deleted from the broker.
        left: the ids of those that stay, by task and reason.
        retried: how many of those carried had been retried before.
    """

    queue: str
    carried: Counter[str] = field(default_factory=Counter)
    known: int = 0
    left: defaultdict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    retried: int = 0

    def add(self, delivery: Delivery, carrier: Carrier, *, write: bool) -> None:
        """Count a message; if `write`, make it a job first, and then delete it."""
        message = delivery.message
        try:
            carriable = carrier.examine(message, delivery.queue)
            if write and not delivery.claim():
                return  # a worker was faster
            is_new = carriable.insert() if write else not carriable.is_job()
        except CannotCarry as error:
            delivery.put_back()
            self.left[message.task_name or "unknown task", str(error)].append(message.task_id)
            return
        if write:
            delivery.done()
        if is_new:
            self.carried[carriable.read.called.name] += 1
            self.retried += bool(carriable.read.retries)
        else:
            self.known += 1

    def items(self, *, write: bool) -> Iterator[Item]:
        """Yield what has become of them."""
        again = "the count of their retries" if self.retried else ""
        for name, count in sorted(self.carried.items()):
            becomes = f"{'became' if write else 'become'} {_jobs(count)} with the same ids"
            yield Item(f"{self.queue}: {_count(count)} of {name}", becomes, again)
        if self.known:
            becomes = "were jobs already, and are deleted" if write else "are jobs already"
            yield Item(f"{self.queue}: {_count(self.known)}", becomes)
        for (name, reason), ids in sorted(self.left.items()):
            title = f"{self.queue}: {_count(len(ids))} of {name}"
            yield Item(title, by_hand=f"It stays. {reason}", is_left=True, ids=tuple(ids))


def _other_queues(broker: Broker, names: set[str]) -> Iterator[Item]:
    for name, count in broker.other_queues(names).items():
        yield Item(
            _title(name, count),
            by_hand="No setting and no task names this queue. If it is this project's, pass "
            f"--queues {name}.",
        )


def _require_stopped(workers: list[str]) -> None:
    if workers:
        raise LookupError(
            f"--held takes the messages that workers hold, but these workers of Celery still run, "
            f"and would run the messages, too: {', '.join(workers)}. Stop them first."
        )


def _queue_of(options: Any) -> str:
    """Return the queue that a route or options name; empty if none."""
    if isinstance(options, str):
        return options
    queue = options.get("queue") if isinstance(options, Mapping) else None
    return str(getattr(queue, "name", queue) or "")


def _title(queue: str, count: int) -> str:
    return f"{queue}: {_count(count)}"


def _count(count: int) -> str:
    return f"{count:,} {'message' if count == 1 else 'messages'}"


def _jobs(count: int) -> str:
    return "a job" if count == 1 else "jobs"
