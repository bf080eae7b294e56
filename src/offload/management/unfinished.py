"""The jobs that a drain leaves behind, in words."""

from __future__ import annotations

from offload.lifecycle import JobState
from offload.management.pause_formatting import describe_pause
from offload.store import get_store
from offload.store.queries import count_unfinished
from offload.text import to_terminal_text

MEANINGS = {
    JobState.RUNNING: "running in other workers",
    JobState.READY: "ready in queues that this worker does not serve or that are paused, or "
    "enqueued since",
    JobState.LIMITED: "limited: waiting for a turn, in queues that this worker does not serve or "
    "that are paused, or of paused tasks",
    JobState.SCHEDULED: "scheduled for later",
}


def describe_unfinished(using: str, backend: str) -> str:
    """Return how many jobs of each state and queue have not finished, one line per state."""
    counts = count_unfinished(using, backend)
    lines = [
        f"  {sum(queues.values()):,} {MEANINGS[state]} ({_format_queues(queues)})"
        for state, queues in counts.items()
        if queues
    ]
    with_jobs = {name for queues in counts.values() for name in queues}
    store = get_store(using)
    rules = store.rules(backend)
    lines += [
        f"  Queue {to_terminal_text(repr(name))} is {describe_pause(pause)}."
        for name, pause in sorted(rules.paused_queues.items())
        if name in with_jobs
    ]
    lines += [
        f"  Task {to_terminal_text(path)} is {describe_pause(row.pause)}."
        for path, row in sorted(rules.tasks.items())
        if store.count_parked(row)
    ]
    return "\n".join(
        ["Drained. These jobs are left:", *lines] if lines else ["Drained: no job is left."]
    )


def _format_queues(queues: dict[str, int]) -> str:
    return ", ".join(f"{to_terminal_text(name)}: {count:,}" for name, count in queues.items())
