"""Kill Celery workers, and restart and empty their brokers; count what becomes of the jobs.

    .venv/bin/python benchmarks/celery_kills.py

The runs with one kind of broker take place at the same time, with the same load. Each has a broker
of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

from kill_runs.brokers import Broker, RabbitMQ, Redis
from kill_runs.contenders import CONTENDERS, Contender
from kill_runs.run import BURST_JOBS, BURST_SECONDS, KILLS, SECONDS, KillRun
from kill_runs.verdict import Verdict

from load import report

BROKERS: list[type[Broker]] = [Redis, RabbitMQ]

HEADER = """\
Each run: {jobs:,} jobs of 0.1 to 0.3 s, {burst} every {seconds} s, and 4 processes.
In {duration} s, {kills} kills with SIGKILL, of a process that runs a job or of the whole worker;
one restart of the broker, which keeps its messages on disk; and one emptied broker.
"Refused" are calls that raised an error.

| broker | | sent | refused | lost | stuck | rerun because of a kill | rerun without a kill |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    rows = [row for broker in BROKERS for row in _run_all(broker)]
    header = HEADER.format(
        jobs=SECONDS // BURST_SECONDS * BURST_JOBS,
        burst=BURST_JOBS,
        seconds=BURST_SECONDS,
        duration=SECONDS,
        kills=KILLS,
    )
    report.write("celery-kills", "Killed Celery workers", "\n".join([header, *rows]))


def _run_all(broker: type[Broker]) -> list[str]:
    """Let all contenders run at the same time; return their rows of the table."""
    with (
        tempfile.TemporaryDirectory(prefix="offload-kills-") as folder,
        ThreadPoolExecutor(len(CONTENDERS)) as executor,
    ):
        runs = [
            executor.submit(_run, broker, contender, Path(folder) / str(number))
            for number, contender in enumerate(CONTENDERS)
        ]
        return [
            _row(broker.name, contender.name, *run.result())
            for contender, run in zip(CONTENDERS, runs, strict=True)
        ]


def _run(broker: type[Broker], contender: Contender, folder: Path) -> tuple[Verdict, int]:
    folder.mkdir()
    return KillRun(contender, broker(folder / "broker"), folder).run()


def _row(broker: str, contender: str, verdict: Verdict, stuck: int) -> str:
    counts = [
        *(verdict.sent, verdict.refused, verdict.missing - stuck, stuck),
        *(verdict.repeats_by_kills, verdict.other_repeats),
    ]
    return f"| {broker} | {contender} | {' | '.join(f'{count:,}' for count in counts)} |"


if __name__ == "__main__":
    main()
