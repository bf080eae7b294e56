"""What a crash test needs: jobs, a ledger, workers, and the judge at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.tasks import Task

from offload.lifecycle import JobState
from offload.models import Job
from tests.crash import ledger, tasks
from tests.crash.checks import Verdict, judge
from tests.crash.processes import Process
from tests.crash.waiting import LIMIT, wait_until
from tests.models import Effect

OPTIONS = {"lease": 1.5, "kill_grace_period": 0.5, "shutdown_timeout": 20.0, "poll_interval": 0.2}
MIX = [
    *[(tasks.note, {})] * 6,
    *[(tasks.effect, {})] * 4,
    (tasks.anote, {}),
    (tasks.anote, {}),
    (tasks.fail, {}),
    (tasks.retried, {}),
    (tasks.once, {}),
]
"""Jobs of all kinds, for a test that does not care."""


class World:
    """Args:
    environment: in which another process opens the test's database.
    folder: for the ledger and the output of processes.
    """

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.mark = folder / "struck"
        self.accepted: dict[str, str] = {}
        self.processes: list[Process] = []
        self.environment = {
            **environment,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            ledger.ENVIRONMENT: str(self.ledger),
        }

    # --- jobs -------------------------------------------------------------------------------

    def enqueue(self, task: Task[..., Any], *args: Any, **options: Any) -> str:
        """Enqueue a job with a token of its own; return the token."""
        token = f"t{len(self.accepted)}"
        chosen = task.using(**options) if options else task
        self.accepted[token] = chosen.enqueue(token, *args).id
        return token

    def take_in_what_was_enqueued(self, expected: int | None = None) -> None:
        """Take in the jobs of `tests.crash.enqueue`, each of which belongs to an effect."""
        jobs = {job.arguments.split('"')[1]: str(job.pk) for job in Job.objects.all()}
        told = {entry.token: entry.value for entry in ledger.read(self.ledger)}
        assert set(Effect.objects.values_list("token", flat=True)) == set(jobs)
        assert told.items() <= jobs.items()
        assert expected is None or len(jobs) == expected
        Effect.objects.all().delete()  # they were no task's
        self.accepted.update(jobs)

    def enqueue_mix(self, times: int = 1) -> None:
        for task, options in MIX * times:
            self.enqueue(task, **options)

    def limit_losses(self, token: str, count: int) -> None:
        """Have a job run again only so often after its process died."""
        Job.objects.filter(pk=self.accepted[token]).update(max_worker_losses=count)

    def job(self, token: str) -> Job:
        return Job.objects.get(pk=self.accepted[token])

    def state(self, token: str) -> JobState:
        return JobState(self.job(token).state)

    def begun(self, token: str) -> list[ledger.Entry]:
        return ledger.by_token(self.ledger, "begin").get(token, [])

    def runner_of(self, token: str) -> int:
        """Return the process in which a job began last, once it has."""
        self.wait_until_begun(token)
        return int(self.begun(token)[-1].value.split("/")[2])

    def path(self, name: str) -> str:
        """Return a file for which `wait_for` waits."""
        return str(self.folder / name)

    def open(self, name: str) -> None:
        (self.folder / name).touch()

    # --- processes --------------------------------------------------------------------------

    def start(
        self,
        *arguments: str,
        processes: int = 1,
        threads: int = 2,
        failpoint: str = "",
        environment: dict[str, str] | None = None,
        **options: Any,
    ) -> Process:
        """Start a worker.

        Args:
            arguments: of the command.
            failpoint: to be armed; it strikes once.
            environment: what to change there.
            options: what to change in the backend's OPTIONS.
        """
        variables = {
            **self.environment,
            "OFFLOAD_TEST_OPTIONS": json.dumps({**OPTIONS, **options}),
            **(environment or {}),
        }
        if failpoint:
            variables |= {
                "OFFLOAD_FAILPOINT": failpoint,
                "OFFLOAD_FAILPOINT_MARK": str(self.mark),
            }
        command = ["-m", "django", "offload_worker", "--no-reload"]
        command += ["--processes", str(processes), "--threads", str(threads), *arguments]
        return self.run(command, variables)

    def run(self, arguments: list[str], variables: dict[str, str]) -> Process:
        log = self.folder / f"output-{len(self.processes)}"
        process = Process(arguments, variables, log)
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()

    # --- waiting ----------------------------------------------------------------------------

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = LIMIT) -> None:
        """Wait, and show what the processes said if it takes too long."""
        try:
            wait_until(condition, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._said()}") from None

    def wait_until_begun(self, *tokens: str, times: int = 1) -> None:
        def have_begun() -> bool:
            return all(len(self.begun(token)) >= times for token in tokens)

        self.wait_for(have_begun, f"{', '.join(tokens)} begin {times} times")

    def wait_until_ended(self, *tokens: str) -> None:
        """Wait until these jobs, or all, have ended."""
        self.wait_for(lambda: self.have_ended(*tokens), "all jobs end")

    def have_ended(self, *tokens: str) -> bool:
        """Tell whether these jobs, or all, have ended."""
        ids = [self.accepted[token] for token in tokens or self.accepted]
        return not Job.objects.filter(pk__in=ids, finished_at=None).exists()

    def wait_for_strike(self) -> int:
        """Wait until a failpoint has struck; return the process that it struck."""

        def has_struck() -> str:
            return self.mark.read_text() if self.mark.exists() else ""

        self.wait_for(has_struck, "the failpoint strikes")
        return int(has_struck())

    def drain(self) -> None:
        """Have a fresh worker do all that is left."""
        worker = self.start(processes=0, threads=4)
        self.wait_until_ended()
        assert worker.stop() == 0, worker.output

    # --- the end ----------------------------------------------------------------------------

    def judge(self, *, may_fail: Iterable[str] = ()) -> Verdict:
        verdict = judge(self.accepted, self.ledger, may_fail=set(may_fail))
        assert not verdict.faults, "\n".join([*verdict.faults, self._said()])
        return verdict

    def _said(self) -> str:
        jobs = "\n".join(
            str(row)
            for row in Job.objects.filter(finished_at=None).values_list(
                "task_path", "state", "fence", "attempt", "worker_losses", "worker"
            )
        )
        outputs = "\n".join(
            f"--- process {process.pid}, {process.popen.poll()}\n{process.output[-6000:]}"
            for process in self.processes
        )
        entries = self.ledger.read_text()[-3000:] if self.ledger.exists() else ""
        return f"--- unfinished\n{jobs}\n{outputs}\n--- ledger\n{entries}"
