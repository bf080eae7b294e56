"""What a ledger says about the jobs of a run."""

from __future__ import annotations

from kill_runs.ledger import Entry
from kill_runs.verdict import judge


def ledger(text: str) -> list[Entry]:
    """Return entries of words such as "start 1 by 7", one second apart."""
    lines = [line.split() for line in text.strip().splitlines()]
    return [
        Entry(event, int(job), int(pid), float(second))
        for second, (event, job, _, pid) in enumerate(lines)
    ]


def test_a_job_that_ends_once_has_no_fault() -> None:
    verdict = judge(ledger("sent 1 by 5\nstart 1 by 7\nend 1 by 7"))

    assert (verdict.sent, verdict.missing) == (1, 0)
    assert (verdict.repeats_by_kills, verdict.other_repeats) == (0, 0)


def test_a_job_that_never_ends_is_missing_unless_its_call_failed() -> None:
    verdict = judge(ledger("sent 1 by 5\nstart 1 by 7\nsent 2 by 5\nrefused 3 by 5"))

    assert (verdict.sent, verdict.refused, verdict.missing) == (2, 1, 2)


def test_an_attempt_after_a_killed_one_is_because_of_the_kill() -> None:
    verdict = judge(
        ledger("sent 1 by 5\nstart 1 by 7\nkill 0 by 7\nstart 1 by 8\nend 1 by 8\nstart 1 by 8")
    )

    assert (verdict.kills, verdict.repeats_by_kills, verdict.other_repeats) == (1, 1, 1)


def test_a_kill_right_after_the_end_explains_another_attempt() -> None:
    text = "sent 1 by 5\nstart 1 by 7\nend 1 by 7\n{}kill 0 by 7\nstart 1 by 8\nend 1 by 8"

    assert judge(ledger(text.format(""))).repeats_by_kills == 1
    assert judge(ledger(text.format("sent 9 by 5\n" * 5))).other_repeats == 1


def test_a_job_that_runs_twice_at_once_is_a_repeat() -> None:
    verdict = judge(ledger("sent 1 by 5\nstart 1 by 7\nstart 1 by 8\nend 1 by 7\nend 1 by 8"))

    assert (verdict.missing, verdict.other_repeats) == (0, 1)
