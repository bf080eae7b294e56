"""How many jobs ran at once: by the table of jobs, and by what the tasks logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from offload.lifecycle import JobState
from offload.models import Job
from tests.crash import execution_log
from tests.crash.scenario import Scenario
from tests.models import Transition

type Step = tuple[str, bool]
"""The id of a job, and whether it begins to run."""


def claims() -> Iterator[Step]:
    """Yield the claims of jobs, and the ends of claims, as the database has recorded them."""
    for change in Transition.objects.order_by("pk"):
        yield str(change.job_id), change.new_state == JobState.RUNNING


def executions(scenario: Scenario) -> Iterator[Step]:
    """Yield the starts and ends of tasks whose results were stored.

    The others had lost their jobs: a worker that is held up for longer than its lease still
    executes them, while another worker may run the next ones.
    """
    results = {
        str(pk): (value or "").strip('"')
        for pk, value in Job.objects.values_list("pk", "return_value")
    }
    for entry in execution_log.read(scenario.log):
        job = scenario.accepted[entry.token]
        if entry.value == results[job]:
            yield job, entry.event == "start"


def most_at_once(steps: Iterable[Step], keys: Mapping[str, str]) -> Counter[str]:
    """Return how many jobs of each key ran at once, at most.

    Args:
        steps: what the jobs did, in order.
        keys: the key of each job, by id.
    """
    running: set[str] = set()
    most: Counter[str] = Counter()
    for job, begins in steps:
        if begins:
            running.add(job)
        else:
            running.discard(job)
        most |= Counter(keys[job] for job in running)
    return most


def count_ends(scenario: Scenario) -> int:
    """Return how many executions have ended."""
    return sum(entry.event == "end" for entry in execution_log.read(scenario.log))
