"""What the page is told about a piece of work, as JSON."""

from collections import Counter
from typing import Any, TypedDict

from django.tasks import TaskResult, TaskResultStatus

from offload import JobState
from offload.models import Job
from shop import mails
from shop.models import Newsletter


class Document(TypedDict):
    """How far a piece of work is, and what came of it."""

    state: str
    done: int
    total: int
    error: str
    result: Any


def of_finished(result: Any) -> Document:
    """Describe work that was done before the response."""
    return Document(state=TaskResultStatus.SUCCESSFUL, done=1, total=1, error="", result=result)


def of_job(job: TaskResult) -> Document:
    """Describe work that is one job."""
    successful = job.status == TaskResultStatus.SUCCESSFUL
    failed = job.status == TaskResultStatus.FAILED
    return Document(
        state=job.status,
        done=int(job.is_finished),
        total=1,
        error=job.errors[-1].traceback.strip().splitlines()[-1] if failed and job.errors else "",
        result=job.return_value if successful else None,
    )


def of_newsletter(newsletter: Newsletter) -> Document:
    """Describe work that is one job per customer."""
    states = Job.objects.filter(id__in=newsletter.jobs).values_list("state", flat=True)
    tally = Counter(JobState(state).status for state in states)
    failed = tally[TaskResultStatus.FAILED]
    document = Document(
        state=TaskResultStatus.RUNNING,
        done=tally[TaskResultStatus.SUCCESSFUL] + failed,
        total=len(newsletter.jobs),
        error=f"Letters that could not be sent: {failed}" if failed else "",
        result=None,
    )
    if document["done"] == document["total"]:
        document["state"] = TaskResultStatus.FAILED if failed else TaskResultStatus.SUCCESSFUL
        document["result"] = mails.receipt(newsletter.pk)
    return document
