"""A memory limit for one process: the kernel kills it above the limit."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


class MemoryLimit:
    """A control group, version 1 or 2."""

    def __init__(self, folder: Path, limit: str, events: str) -> None:
        self._folder = folder
        self._limit = limit
        self._events = events

    def apply(self, pid: int, size: int) -> None:
        """Limit the process to `size` bytes from now on."""
        (self._folder / self._limit).write_text(str(size))
        (self._folder / "cgroup.procs").write_text(str(pid))

    @property
    def kills(self) -> int:
        lines = (self._folder / self._events).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextlib.contextmanager
def memory_limit() -> Iterator[MemoryLimit | None]:
    """Create a control group; yield None where that is not permitted."""
    for parent, limit, events in (
        (ROOT / "memory", "memory.limit_in_bytes", "memory.oom_control"),
        (ROOT, "memory.max", "memory.events"),
    ):
        folder = parent / f"offload-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / limit).exists():
                yield MemoryLimit(folder, limit, events)
                return
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()
    yield None
