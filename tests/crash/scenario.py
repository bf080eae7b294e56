"""A crash test's scenario: its jobs, its workers, and the verdict at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.tasks import Task

from offload.lifecycle import JobState
from offload.models import Job
from tests.crash import execution_log, tasks
from tests.crash.processes import Process
from tests.crash.verdict import Verdict, judge
from tests.models import Effect
from tests.waiting import TIMEOUT_SECONDS, wait_until

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
"""One of each kind of job, for tests where the kind does not matter."""


class Scenario:
    """The jobs and processes of one crash test.

    Args:
        environment: environment in which another process opens the test's database.
        folder: where the execution log and the output of the processes are kept.
    """

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.folder = folder
        self.log = folder / "execution_log"
        self.mark = folder / "triggered"
        self.accepted: dict[str, str] = {}
        self.processes: list[Process] = []
        self.environment = {
            **environment,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            execution_log.ENVIRONMENT: str(self.log),
        }

    # --- jobs -------------------------------------------------------------------------------

    def enqueue(self, task: Task[..., Any], *args: Any, **options: Any) -> str:
        """Enqueue a job with a token of its own; return the token."""
        token = f"t{len(self.accepted)}"
        chosen = task.using(**options) if options else task
        self.accepted[token] = chosen.enqueue(token, *args).id
        return token

    def adopt_enqueued_jobs(self, expected: int | None = None) -> None:
        """Add the jobs of `tests.crash.enqueueing_process`; each must have its business row."""
        jobs = {job.arguments.split('"')[1]: str(job.pk) for job in Job.objects.all()}
        logged = {entry.token: entry.value for entry in execution_log.read(self.log)}
        assert set(Effect.objects.values_list("token", flat=True)) == set(jobs)
        assert logged.items() <= jobs.items()
        assert expected is None or len(jobs) == expected
        Effect.objects.all().delete()  # no task created them
        self.accepted.update(jobs)

    def enqueue_mix(self, times: int = 1) -> None:
        for task, options in MIX * times:
            self.enqueue(task, **options)

    def limit_worker_losses(self, token: str, count: int) -> None:
        """Set how many times a job may lose its process and run again."""
        Job.objects.filter(pk=self.accepted[token]).update(max_worker_losses=count)

    def job(self, token: str) -> Job:
        return Job.objects.get(pk=self.accepted[token])

    def state(self, token: str) -> JobState:
        return JobState(self.job(token).state)

    def started(self, token: str) -> list[execution_log.Entry]:
        return execution_log.by_token(self.log, "start").get(token, [])

    def process_of(self, token: str) -> int:
        """Return the id of the process that started the job last; wait until one has."""
        self.wait_until_started(token)
        return int(self.started(token)[-1].value.split("/")[2])

    def path(self, name: str) -> str:
        """Return the path of a file that the task `wait_for` waits for."""
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
            arguments: options of the command.
            processes: number of child processes.
            threads: threads of each process.
            failpoint: failpoint to arm; it triggers once.
            environment: variables to add.
            options: changes to the backend's OPTIONS.
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

    def close(self) -> None:
        for process in self.processes:
            process.kill()

    # --- waiting ----------------------------------------------------------------------------

    def wait_for(
        self, condition: Callable[[], object], what: str, seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """Wait for a condition; on a timeout show the output of all processes."""
        try:
            wait_until(condition, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._report()}") from None

    def wait_until_started(self, *tokens: str, times: int = 1) -> None:
        def have_started() -> bool:
            return all(len(self.started(token)) >= times for token in tokens)

        self.wait_for(have_started, f"{', '.join(tokens)} start {times} times")

    def wait_until_finished(self, *tokens: str) -> None:
        """Wait until these jobs, or all jobs, have finished."""
        self.wait_for(lambda: self.have_finished(*tokens), "all jobs finish")

    def have_finished(self, *tokens: str) -> bool:
        """Return whether these jobs, or all jobs, have finished."""
        ids = [self.accepted[token] for token in tokens or self.accepted]
        return not Job.objects.filter(pk__in=ids, finished_at=None).exists()

    def wait_for_failpoint(self) -> int:
        """Wait until the failpoint has triggered; return the id of its process."""

        def triggered_in() -> str:
            return self.mark.read_text() if self.mark.exists() else ""

        self.wait_for(triggered_in, "the failpoint triggers")
        return int(triggered_in())

    def drain(self) -> None:
        """Finish all remaining jobs with a new worker."""
        worker = self.start(processes=0, threads=4)
        self.wait_until_finished()
        assert worker.stop() == 0, worker.output

    # --- verdict ----------------------------------------------------------------------------

    def judge(self, *, may_fail: Iterable[str] = ()) -> Verdict:
        verdict = judge(self.accepted, self.log, may_fail=set(may_fail))
        assert not verdict.faults, "\n".join([*verdict.faults, self._report()])
        return verdict

    def _report(self) -> str:
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
        entries = self.log.read_text()[-3000:] if self.log.exists() else ""
        return f"--- unfinished\n{jobs}\n{outputs}\n--- execution log\n{entries}"
