"""UPDATEs of MariaDB and MySQL that write a different value to each of several rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from offload.lifecycle import Outcome
from offload.store.records import ClaimKey, ExtraColumns, FinishedJob
from offload.store.statements import finish_statement, statement


def group_by_outcome(finished: Iterable[FinishedJob]) -> Iterable[list[FinishedJob]]:
    """Group jobs whose outcomes differ in nothing but the return value."""
    groups: defaultdict[tuple[Any, ...], list[FinishedJob]] = defaultdict(list)
    for job, outcome in finished:
        key = (outcome.state, outcome.delay, outcome.counts, outcome.worker_lost)
        groups[key].append((job, outcome))
    return groups.values()


def finish_group(group: Sequence[FinishedJob], extra: ExtraColumns) -> tuple[str, dict[str, Any]]:
    """Return the statement that finishes a group of jobs, and its parameters.

    If all have one return value, as those of tasks that return nothing, it compares no ids.
    """
    outcome: Outcome = group[0][1]
    value = "%(return_value)s"
    parameters: dict[str, Any] = {"return_value": outcome.return_value}
    if any(other.return_value != outcome.return_value for _, other in group):
        return_values = ((job.id, outcome.return_value) for job, outcome in group)
        cases, parameters = _cases_by_id("return_value", return_values)
        value = f"CASE id {cases} END"
    parameters |= {
        "ids": [job.id for job, _ in group],
        "state": int(outcome.state),
        "delay": int(outcome.delay * 1_000_000),
        "discount": int(not outcome.counts),
        "loss": int(outcome.worker_lost),
    }
    sql = finish_statement("mysql", extra).replace("{return_value}", value)
    return sql, parameters


def progress_updates(updates: Mapping[ClaimKey, str]) -> tuple[str, dict[str, Any]]:
    """Return the statement that writes the progress of jobs, and its parameters."""
    values = [(job_id, text) for (job_id, _), text in updates.items()]
    cases, parameters = _cases_by_id("progress", values)
    parameters["ids"] = [job_id for job_id, _ in values]
    return statement("mysql", "progress").replace("{progress}", cases), parameters


def _cases_by_id(name: str, values: Iterable[tuple[str, str | None]]) -> tuple[str, dict[str, Any]]:
    """Return the branches of a CASE that maps ids to values, and their parameters."""
    cases = []
    parameters: dict[str, Any] = {}
    for index, (job_id, value) in enumerate(values):
        cases.append(f"WHEN %(id{index})s THEN %({name}{index})s")
        parameters[f"id{index}"] = job_id
        parameters[f"{name}{index}"] = value
    return " ".join(cases), parameters
