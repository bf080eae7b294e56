"""Which parts of an ended workflow run again, and how they start. Knows no database."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from offload.lifecycle import RETRYABLE, JobState, RunWhen
from offload.store.releases import FAILURES


class EndedState(NamedTuple):
    """How a part of a workflow has ended.

    Attributes:
        state: its state.
        run_when: its `RunWhen`.
    """

    state: int
    run_when: int


class Rerun(NamedTuple):
    """How a part starts again.

    Attributes:
        waiting_on: how many parts that run again it waits for.
        run_when: its `RunWhen`.
        state: the state in which it ends at once; None if it runs again.
    """

    waiting_on: int
    run_when: int
    state: int | None = None


def plan_retry(
    parts: Mapping[str, EndedState],
    dependencies: Iterable[tuple[str, str, bool]],
    only: AbstractSet[str] | None = None,
) -> dict[str, Rerun]:
    """Return the parts that run again: all that did not succeed, or `only` and those behind them.

    Skipped parts that wait for one of them are decided anew.

    Args:
        parts: all parts of the workflow, by their ids.
        dependencies: the parent and the child of each dependency, and whether it is implied.
        only: the parts that were retried by themselves; None if the workflow was.
    """
    parents: defaultdict[str, set[str]] = defaultdict(set)
    children: defaultdict[str, set[str]] = defaultdict(set)
    implied = set()
    for parent, child, is_implied in dependencies:
        if parent in parts and child in parts:
            parents[child].add(parent)
            children[parent].add(child)
            if is_implied:
                implied.add((parent, child))
    if only is None:
        chosen = {part for part, ended in parts.items() if ended.state in RETRYABLE}
    else:
        chosen = {part for part in only if part in parts and parts[part].state in RETRYABLE}
    again = _with_followers(chosen, parts, children, all_followers=only is not None)
    return _decide(again, parts, parents, children, implied)


def _with_followers(
    chosen: set[str],
    parts: Mapping[str, EndedState],
    children: Mapping[str, Collection[str]],
    *,
    all_followers: bool,
) -> set[str]:
    """Return parts with those behind them that are decided anew."""
    states = {JobState.SKIPPED, *(RETRYABLE if all_followers else ())}
    again, queue = set(chosen), deque(chosen)
    while queue:
        for child in children.get(queue.popleft(), ()):
            if child not in again and parts[child].state in states:
                again.add(child)
                queue.append(child)
    return again


def _decide(
    again: set[str],
    parts: Mapping[str, EndedState],
    parents: Mapping[str, Collection[str]],
    children: Mapping[str, Collection[str]],
    implied: Collection[tuple[str, str]],
) -> dict[str, Rerun]:
    """Go through the parts in an order in which each follows those that it waits for."""
    missing = {part: len(again.intersection(parents.get(part, ()))) for part in again}
    queue = deque(part for part, count in missing.items() if not count)
    states = {part: ended.state for part, ended in parts.items() if part not in again}
    reruns: dict[str, Rerun] = {}
    while queue:
        part = queue.popleft()
        before = parents.get(part, ())
        known = {
            JobState.SUCCESSFUL
            if states[parent] == JobState.SKIPPED and (parent, part) in implied
            else states[parent]
            for parent in before
            if parent in states
        }
        waiting_on = sum(parent not in states for parent in before)
        reruns[part] = rerun = _rerun(parts[part].run_when, known, waiting_on)
        if rerun.state is not None:
            states[part] = rerun.state
        for child in children.get(part, ()):
            if child in missing:
                missing[child] -= 1
                if not missing[child]:
                    queue.append(child)
    return reruns


def _rerun(run_when: int, known: set[int], waiting_on: int) -> Rerun:
    """Return how a part starts again.

    Args:
        run_when: its `RunWhen`.
        known: the states of the parts before it that do not run again.
        waiting_on: how many parts before it do.
    """
    if run_when in {RunWhen.FAILED, RunWhen.ONE_FAILED}:
        has_failed = not FAILURES.isdisjoint(known)
        condition = RunWhen.ONE_FAILED if has_failed else RunWhen.FAILED
        skipped = None if waiting_on or has_failed else int(JobState.SKIPPED)
        return Rerun(waiting_on, int(condition), skipped)
    if run_when == RunWhen.SUCCEEDED and not known <= {JobState.SUCCESSFUL}:
        is_skipped = known <= {JobState.SUCCESSFUL, JobState.SKIPPED}
        state = JobState.SKIPPED if is_skipped else JobState.CANCELLED
        return Rerun(waiting_on, run_when, int(state))
    return Rerun(waiting_on, run_when)
