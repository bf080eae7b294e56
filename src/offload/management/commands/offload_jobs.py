"""`manage.py offload_jobs`: look at jobs, run them again, cancel them."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from offload.conf import did_you_mean
from offload.lifecycle import CANCELLABLE, RETRYABLE, JobState
from offload.management.arguments import (
    add_backend_arguments,
    parse_state,
    report_database_errors,
    resolve_backend,
    resolve_options,
    resolve_store,
    whole_number,
)
from offload.management.formatting import attempt_document, document_of, page_of, table_of
from offload.store.queries import JobFilter, find_by_prefix, find_jobs, find_workers, recent_tasks

if TYPE_CHECKING:
    from uuid import UUID

    from offload.models import Job

AT_ONCE = 100
"""Jobs changed in one transaction."""
SHORTEST_PREFIX = 8
"""Digits of an id that may stand for the whole_number of it, if only one job's id begins so."""

PARTICIPLES = {"retry": "retried", "cancel": "cancelled"}


class Command(BaseCommand):
    """Look at jobs and change them."""

    help = "List and show jobs, run them again, cancel them."
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        shown = actions.add_parser("list", help="List jobs.")
        _add_filters(shown, limit=20)
        shown.add_argument("--json", action="store_true", help="Print a JSON list.")
        one = actions.add_parser("show", help="Show all that is known of a job.")
        one.add_argument("id", help="The job's id, or its first digits.")
        one.add_argument("--json", action="store_true", help="Print a JSON document.")
        again = actions.add_parser("retry", help="Run jobs again that failed or were cancelled.")
        stop = actions.add_parser("cancel", help="Cancel jobs that wait or run.")
        for action in (again, stop):
            action.add_argument("ids", nargs="*", metavar="ID", help="Ids, or their first digits.")
            _add_filters(action, limit=1000)
            action.add_argument("--yes", action="store_true", help="Do not ask.")
        for action in (shown, one, again, stop):
            add_backend_arguments(action)

    def handle(self, **choices: Any) -> None:
        self.backend = resolve_backend(choices["backend"])
        options = resolve_options(choices)
        self.store = resolve_store(options)
        with report_database_errors(options.database):
            getattr(self, f"_{choices['action']}")(choices)

    def _list(self, choices: dict[str, Any]) -> None:
        jobs = self._find(choices, [choices["state"]])
        if choices["json"]:
            self.stdout.write(json.dumps([document_of(job) for job in jobs], indent=2))
        elif jobs:
            self.stdout.write(table_of(jobs))
            if len(jobs) == choices["limit"]:
                self.stdout.write(f"There may be more: --limit is {choices['limit']}.")
        else:
            self.stdout.write("No such jobs.")

    def _show(self, choices: dict[str, Any]) -> None:
        job, attempts = self.store.read(self._identify(choices["id"]))
        if job is None:
            raise CommandError(_unknown(choices["id"]))
        if choices["json"]:
            tried = [attempt_document(attempt) for attempt in attempts]
            self.stdout.write(json.dumps({**document_of(job), "attempts": tried}, indent=2))
            return
        ids = {attempt.worker for attempt in attempts} | ({job.worker} if job.worker else set())
        self.stdout.write(page_of(job, attempts, find_workers(self.store.using, list(ids))))

    def _retry(self, choices: dict[str, Any]) -> None:
        ids = self._choose("retry", choices, RETRYABLE, default=(JobState.FAILED,))
        if ids is not None:
            done = self._change(ids, self.store.retry)
            self.stdout.write(f"{sum(done.values()):,} to run again.")
            self._explain([pk for pk, retried in done.items() if not retried], "retried")

    def _cancel(self, choices: dict[str, Any]) -> None:
        ids = self._choose("cancel", choices, CANCELLABLE, default=CANCELLABLE[::-1])
        if ids is not None:
            done = self._change(ids, self.store.cancel)
            states = list(done.values())
            running = states.count(JobState.RUNNING)
            asked = f", {running:,} running asked to stop" if running else ""
            self.stdout.write(f"{states.count(JobState.CANCELLED):,} cancelled{asked}.")
            self._explain([pk for pk, state in done.items() if state is None], "cancelled")

    # --- choosing ---------------------------------------------------------------------------

    def _choose(
        self,
        verb: str,
        choices: dict[str, Any],
        allowed: Sequence[JobState],
        *,
        default: Sequence[JobState],
    ) -> list[UUID] | None:
        """Return the ids of the jobs to change; None if somebody said no, or there are none."""
        filters = [name for name in ("state", "queue", "task") if choices[name] is not None]
        if choices["ids"] and filters:
            raise CommandError(f"Give ids or filters (--{filters[0]}), not both.")
        if choices["ids"]:
            return [self._identify(text) for text in choices["ids"]]
        if not filters:
            raise CommandError(f"Which jobs? Give ids, or choose: {verb} --state, --queue, --task.")
        state = choices["state"]
        if state is not None and state not in allowed:
            names = ", ".join(other.label for other in allowed)
            raise CommandError(
                f"No {state.label} job can be {PARTICIPLES[verb]}; possible are: {names}."
            )
        jobs = self._find(choices, default if state is None else [state])
        if not jobs:
            self.stdout.write("No such jobs.")
            return None
        question = f"{verb.title()} {_summary(jobs, limit=choices['limit'])}?"
        return [job.pk for job in jobs] if choices["yes"] or self._agree(question) else None

    def _agree(self, question: str) -> bool:
        try:
            answer = input(f"{question} [y/N] ")
        except EOFError:
            raise CommandError("Nobody is there to answer. To do it unasked, give --yes.") from None
        if answer.strip().lower() in {"y", "yes"}:
            return True
        self.stdout.write("Nothing was changed.")
        return False

    def _find(self, choices: dict[str, Any], states: Sequence[JobState | None]) -> list[Job]:
        jobs: list[Job] = []
        for state in states:
            wanted = JobFilter(
                backend=choices["backend"],
                state=state,
                queue_name=choices["queue"],
                task=choices["task"],
            )
            bulk = choices["action"] != "list"
            room = choices["limit"] - len(jobs)
            if room > 0:
                jobs += find_jobs(self.store.using, wanted, limit=room, everywhere=bulk)
        if not jobs:
            self._require_known(choices)
        return jobs

    def _require_known(self, choices: dict[str, Any]) -> None:
        """Nothing was found: raise CommandError if a name was mistyped."""
        queue, task, queues = choices["queue"], choices["task"], sorted(self.backend.queues)
        if queue is not None and queues and queue not in queues:
            raise CommandError(
                f"No such jobs, and no queue {queue!r} in TASKS[{self.backend.alias!r}]['QUEUES']."
                f"{did_you_mean(queue, queues)}"
            )
        if task is None:
            return
        paths = recent_tasks(self.store.using, self.backend.alias)
        names = [path.rpartition(".")[2] for path in paths]
        if task not in paths and task not in names:
            hint = did_you_mean(task, paths if "." in task else names) if paths else ""
            raise CommandError(f"No such jobs: none of a task {task!r}.{hint}")

    def _identify(self, text: str) -> UUID:
        """Return the id that a text is, or begins."""
        digits = text.strip().lower().replace("-", "")
        if not re.fullmatch("[0-9a-f]{1,32}", digits):
            raise CommandError(f"{text!r} is not the id of a job, nor the beginning of one.")
        if len(digits) < SHORTEST_PREFIX:
            raise CommandError(f"{text!r} is too short: give at least {SHORTEST_PREFIX} digits.")
        found = find_by_prefix(self.store.using, digits)
        if not found:
            raise CommandError(_unknown(text))
        if len(found) > 1:
            raise CommandError(
                f"Several ids begin with {text!r}, such as {found[0]} and {found[1]}. Give more "
                "digits."
            )
        return found[0]

    # --- changing ---------------------------------------------------------------------------

    def _change[T](self, ids: Sequence[UUID], verb: Callable[[UUID], T]) -> dict[UUID, T]:
        """Apply a verb to each job, in the order of ids in which all transactions lock them."""
        done: dict[UUID, T] = {}
        ordered = sorted(set(ids))
        for start in range(0, len(ordered), AT_ONCE):
            with transaction.atomic(self.store.using):
                done |= {pk: verb(pk) for pk in ordered[start : start + AT_ONCE]}
        return done

    def _explain(self, refused: Sequence[UUID], be: str) -> None:
        """Raise CommandError if jobs could not be changed, saying why."""
        reasons = []
        for pk in refused:
            job, _ = self.store.read(pk)
            state = "gone" if job is None else JobState(job.state).label
            reasons.append(f"The job {pk} is {state}; it cannot be {be}.")
        if reasons:
            raise CommandError("\n".join(reasons))


def _add_filters(parser: ArgumentParser, *, limit: int) -> None:
    add = parser.add_argument
    add("--state", type=parse_state, help=", ".join(state.label for state in JobState))
    add("--queue", help="Only jobs of this queue.")
    add("--task", help="Only jobs of this task: its path, or only its name.")
    add(
        "--limit",
        type=whole_number(1),
        default=limit,
        help="At most so many (default: %(default)s).",
    )


def _summary(jobs: Sequence[Job], *, limit: int) -> str:
    counts = Counter(JobState(job.state).label for job in jobs)
    text = ", ".join(f"{number:,} {label}" for label, number in counts.items())
    more = " (there may be more: --limit)" if len(jobs) == limit else ""
    return f"{text} {'job' if len(jobs) == 1 else 'jobs'}{more}"


def _unknown(text: str) -> str:
    return (
        f"There is no job {text}. Jobs that ended are deleted after a while: see keep_successful "
        "and keep_failed in OPTIONS."
    )
