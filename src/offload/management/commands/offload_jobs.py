"""`manage.py offload_jobs`: list and show jobs, retry and cancel them."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.tasks.exceptions import InvalidTask

from offload.backends.changes import PARTICIPLES, Retries, cancel_job, explain_state
from offload.conf import did_you_mean
from offload.exceptions import InvalidJobState
from offload.lifecycle import CANCELLABLE, RETRYABLE, WAITING, JobState
from offload.management.arguments import (
    add_backend_arguments,
    add_common_options,
    parse_state,
    report_database_errors,
    resolve_backend,
    resolve_options,
    resolve_store,
    whole_number,
)
from offload.management.base import OffloadCommand
from offload.management.formatting import (
    attempt_document,
    format_details,
    format_json,
    format_table,
    operator_document,
)
from offload.management.pause_formatting import describe_pause, pause_document
from offload.management.workflow_formatting import workflow_details
from offload.store.limit_lines import limit_uses
from offload.store.queries import (
    JobFilter,
    find_by_prefix,
    find_by_suffix,
    find_workers,
    list_jobs,
    recent_tasks,
)

if TYPE_CHECKING:
    from offload.models import Job
    from offload.store.limit_lines import LimitUse
    from offload.store.queue_records import Pause

BATCH_SIZE = 100
"""Maximum number of jobs changed in one transaction."""
MIN_DIGITS = 8
"""Minimum length of an abbreviated id."""
DEFAULT_LIST_LIMIT = 20
DEFAULT_CHANGE_LIMIT = 1000


class Command(OffloadCommand):
    """List, show, retry and cancel jobs."""

    help = "List and show jobs, retry and cancel them."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        list_ = actions.add_parser("list", help="List jobs.")
        _add_filters(list_, limit=DEFAULT_LIST_LIMIT)
        list_.add_argument("--workflow", metavar="ID", help="Only the parts of this workflow.")
        list_.add_argument("--json", action="store_true", help="Print a JSON list.")
        show = actions.add_parser("show", help="Show the details of one job.")
        show.add_argument("id", help="The job's id, or its last or first eight digits.")
        show.add_argument("--json", action="store_true", help="Print a JSON document.")
        retry = actions.add_parser("retry", help="Run failed, cancelled or expired jobs again.")
        cancel = actions.add_parser("cancel", help="Cancel waiting or running jobs.")
        for action in (retry, cancel):
            action.add_argument(
                "ids", nargs="*", metavar="ID", help="Ids, or their last or first eight digits."
            )
            _add_filters(action, limit=DEFAULT_CHANGE_LIMIT)
            action.add_argument("--yes", action="store_true", help="Skip the confirmation prompt.")
        for action in (list_, show, retry, cancel):
            add_backend_arguments(action)
            add_common_options(action)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        self.backend = resolve_backend(options["backend"])
        backend_options = resolve_options(options)
        self.store = resolve_store(backend_options)
        with report_database_errors(backend_options.database):
            match options["action"]:
                case "list":
                    self._list(options)
                case "show":
                    self._show(options)
                case "retry":
                    self._retry(options)
                case "cancel":
                    self._cancel(options)

    def _list(self, options: dict[str, Any]) -> None:
        jobs = self._find_jobs(options, [options["state"]])
        if options["json"]:
            self.stdout.write(format_json([operator_document(job) for job in jobs]))
        elif jobs:
            self.stdout.write(format_table(jobs))
            if len(jobs) == options["limit"]:
                self.stderr.write(f"There may be more: --limit is {options['limit']}.")
        else:
            self.stdout.write("No matching jobs.")

    def _show(self, options: dict[str, Any]) -> None:
        job, attempts = self.store.read(self._identify(options["id"]))
        if job is None:
            raise CommandError(_not_found(options["id"]))
        what, pause = self._pause_of(job)
        if options["json"]:
            document = operator_document(job) | {"pause": pause_document(pause)}
            document["attempts"] = [attempt_document(attempt) for attempt in attempts]
            self.stdout.write(format_json(document))
            return
        worker_ids = {attempt.worker for attempt in attempts}
        if job.worker:
            worker_ids.add(job.worker)
        workers = find_workers(self.store.using, list(worker_ids))
        uses: list[LimitUse] = []
        if job.limit_key is not None and not JobState(job.state).is_finished:
            uses = limit_uses(self.store.using, job.limit_key)
        paused = "" if pause is None else f"{what} is {describe_pause(pause)}"
        others = {"paused": paused, **workflow_details(self.store, job)}
        self.stdout.write(format_details(job, attempts, workers, uses, others))

    def _pause_of(self, job: Job) -> tuple[str, Pause | None]:
        """Return "queue" or "task" and the pause that keeps a job waiting; None if it may start."""
        if job.state not in WAITING:
            return "", None
        rules = self.store.rules(job.backend)
        what = "the queue" if job.queue_name in rules.paused_queues else "the task"
        return what, rules.pause_of(job.queue_name, job.task_path)

    def _retry(self, options: dict[str, Any]) -> None:
        ids = self._select("retry", options, RETRYABLE, default=[JobState.FAILED])
        if not ids:
            return
        reasons: list[str] = []
        retries = Retries(self.store, set(ids))

        def retry(pk: UUID) -> bool | None:
            try:
                return retries.retry(pk)
            except (InvalidJobState, InvalidTask) as error:
                reasons.append(str(error))
                return None

        retried = self._change(ids, retry)
        self.stdout.write(f"{sum(map(bool, retried.values())):,} retried.")
        refused = [
            pk
            for pk, is_retried in retried.items()
            if is_retried is False and not self._runs_with_its_workflow(pk, retried)
        ]
        self._require_none_refused(refused, "retry", reasons)

    def _runs_with_its_workflow(self, job: UUID, retried: Mapping[UUID, bool | None]) -> bool:
        """Return whether a job was refused because its workflow was retried with all its parts."""
        row, _ = self.store.read(job)
        return row is not None and row.workflow is not None and bool(retried.get(row.workflow))

    def _cancel(self, options: dict[str, Any]) -> None:
        running_first = CANCELLABLE[::-1]
        ids = self._select("cancel", options, CANCELLABLE, default=running_first)
        if not ids:
            return
        states = self._change(ids, partial(cancel_job, self.store))
        counts = Counter(states.values())
        text = f"{counts[JobState.CANCELLED]:,} cancelled"
        if counts[JobState.RUNNING]:
            text += f", cancel requested for {counts[JobState.RUNNING]:,} running"
        self.stdout.write(f"{text}.")
        refused = [pk for pk, state in states.items() if state is None]
        self._require_none_refused(refused, "cancel")

    # --- selecting jobs ----------------------------------------------------------------------

    def _select(
        self,
        action: str,
        options: dict[str, Any],
        allowed: Sequence[JobState],
        *,
        default: Sequence[JobState],
    ) -> list[UUID]:
        """Return the ids of the jobs to change; [] if no job matches or the user declines.

        Args:
            action: "retry" or "cancel".
            options: of the command, with ids or filters.
            allowed: states of jobs that the action can change.
            default: states of the jobs to change without --state.
        """
        _require_selection(action, options)
        if options["ids"]:
            return [self._identify(text) for text in options["ids"]]
        states = default
        if options["state"] is not None:
            _require_allowed(action, options["state"], allowed)
            states = [options["state"]]
        jobs = self._find_jobs(options, states, search_all=True)
        if not jobs:
            self.stdout.write("No matching jobs.")
        elif options["yes"] or self._confirm(action, jobs, options["limit"]):
            return [job.pk for job in jobs]
        return []

    def _confirm(self, action: str, jobs: Sequence[Job], limit: int) -> bool:
        try:
            answer = input(f"{action.title()} {_summary(jobs, limit)}? [y/N] ")
        except EOFError:
            self.stdout.write()  # ends the line of the prompt
            raise CommandError(
                "The confirmation prompt needs a terminal. Pass --yes to skip it."
            ) from None
        if answer.strip().lower() in {"y", "yes"}:
            return True
        self.stdout.write("No jobs were changed.")
        return False

    def _find_jobs(
        self,
        options: dict[str, Any],
        states: Sequence[JobState | None],
        *,
        search_all: bool = False,
    ) -> list[Job]:
        """Return the jobs that match the filters, up to --limit.

        Raises:
            CommandError: if there are none and a name is unknown.
        """
        jobs: list[Job] = []
        for state in states:
            remaining = options["limit"] - len(jobs)
            if remaining > 0:
                job_filter = JobFilter(
                    backend=options["backend"],
                    state=state,
                    queue_name=options["queue"],
                    task=options["task"],
                    workflow=self._workflow(options),
                )
                jobs += list_jobs(
                    self.store.using, job_filter, limit=remaining, search_all=search_all
                )
        if not jobs:
            self._require_known_queue(options["queue"])
            self._require_known_task(options["task"])
        return jobs

    def _workflow(self, options: dict[str, Any]) -> UUID | None:
        text: str | None = options.get("workflow")
        return None if text is None else self._identify(text)

    def _require_known_queue(self, name: str | None) -> None:
        queues = sorted(self.backend.queues)
        if name is not None and queues and name not in queues:
            raise CommandError(
                f"No matching jobs, and no queue {name!r} in "
                f"TASKS[{self.backend.alias!r}]['QUEUES'].{did_you_mean(name, queues)}"
            )

    def _require_known_task(self, name: str | None) -> None:
        """Raise CommandError if no recent job belongs to a task: its name may be mistyped."""
        if name is None:
            return
        paths = recent_tasks(self.store.using, self.backend.alias)
        names = [path.rpartition(".")[2] for path in paths]
        if name in paths or name in names:
            return
        hint = ""
        if paths:
            hint = did_you_mean(name, paths if "." in name else names)
        raise CommandError(f"No matching jobs: no recent job of a task {name!r}.{hint}")

    def _identify(self, text: str) -> UUID:
        """Return the id of a job from its text, which may be abbreviated."""
        digits = text.strip().lower().replace("-", "")
        if not re.fullmatch("[0-9a-f]{1,32}", digits):
            raise CommandError(f"{text!r} is not a job id, or the last or first digits of one.")
        if len(digits) < MIN_DIGITS:
            raise CommandError(f"{text!r} is too short: pass at least {MIN_DIGITS} digits.")
        ids = find_by_prefix(self.store.using, digits)
        if len(digits) < len(UUID(int=0).hex):
            ids = list({*ids, *find_by_suffix(self.store.using, digits)})
        if not ids:
            raise CommandError(_not_found(text))
        if len(ids) > 1:
            raise CommandError(
                f"Several ids start or end with {text!r}, such as {ids[0]} and {ids[1]}. Pass the "
                "last eight digits, which are random, or more digits."
            )
        return ids[0]

    # --- changing jobs -----------------------------------------------------------------------

    def _change[T](self, ids: Sequence[UUID], change: Callable[[UUID], T]) -> dict[UUID, T]:
        """Change jobs in batches; return what `change` returned for each.

        All transactions lock jobs in the order of their ids, so no two of them can deadlock.
        """
        results: dict[UUID, T] = {}
        ordered = sorted(set(ids))
        for start in range(0, len(ordered), BATCH_SIZE):
            with transaction.atomic(self.store.using):
                for pk in ordered[start : start + BATCH_SIZE]:
                    results[pk] = change(pk)
        return results

    def _require_none_refused(
        self, refused: Sequence[UUID], action: str, reasons: Sequence[str] = ()
    ) -> None:
        """Raise CommandError with the states of the jobs that could not be changed.

        Args:
            refused: the jobs.
            action: "retry" or "cancel".
            reasons: why others could not be changed.
        """
        reasons = [*reasons]
        for pk in refused:
            job, _ = self.store.read(pk)
            if job is None:
                reasons.append(f"The job {pk} no longer exists.")
            else:
                reasons.append(explain_state(job, action))
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
        help="Maximum number of jobs (default: %(default)s).",
    )


def _require_selection(action: str, options: dict[str, Any]) -> None:
    """Raise CommandError unless there are either ids or filters."""
    filters = [name for name in ("state", "queue", "task") if options[name] is not None]
    if options["ids"] and filters:
        raise CommandError(f"Pass either ids or filters (--{filters[0]}), not both.")
    if not options["ids"] and not filters:
        raise CommandError(f"No jobs selected. Pass ids, or {action} --state, --queue, --task.")


def _require_allowed(action: str, state: JobState, allowed: Sequence[JobState]) -> None:
    """Raise CommandError if an action cannot change jobs of a state."""
    if state not in allowed:
        labels = ", ".join(other.label for other in allowed)
        raise CommandError(
            f"A {state.label} job cannot be {PARTICIPLES[action]}. Possible states: {labels}."
        )


def _summary(jobs: Sequence[Job], limit: int) -> str:
    """Return the number of jobs in each state, such as "3 running, 2 ready jobs"."""
    counts = Counter(JobState(job.state).label for job in jobs)
    numbers = ", ".join(f"{number:,} {label}" for label, number in counts.items())
    noun = "job" if len(jobs) == 1 else "jobs"
    text = f"{numbers} {noun}"
    if len(jobs) == limit:
        text += " (there may be more: --limit)"
    return text


def _not_found(text: str) -> str:
    return (
        f"There is no job {text}. Finished jobs are deleted after the time set by keep_successful "
        "and keep_failed in OPTIONS."
    )
