"""The jobs that a drain leaves behind, in words."""

from __future__ import annotations

from offload.lifecycle import JobState
from offload.store.queries import count_unfinished
from offload.text import to_terminal_text

MEANINGS = {
    JobState.RUNNING: "running in other workers",
    JobState.READY: "ready in queues that this worker does not serve, or enqueued since",
    JobState.SCHEDULED: "scheduled for later",
}


def describe_unfinished(using: str, backend: str) -> str:
    """Return how many jobs of each state and queue have not finished, one line per state."""
    lines = [
        f"  {sum(queues.values()):,} {MEANINGS[state]} ({_format_queues(queues)})"
        for state, queues in count_unfinished(using, backend).items()
        if queues
    ]
    return "\n".join(
        ["Drained. These jobs are left:", *lines] if lines else ["Drained: no job is left."]
    )


def _format_queues(queues: dict[str, int]) -> str:
    return ", ".join(f"{to_terminal_text(name)}: {count:,}" for name, count in queues.items())
