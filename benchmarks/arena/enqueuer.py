"""The process of a contender that enqueues: `contenders/client.py`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

CONTENDERS = Path(__file__).resolve().parents[1] / "contenders"
STOP_SECONDS = 5


class Enqueuer:
    """Asks the process and returns its answers."""

    def __init__(self, python: Path, module: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [python, CONTENDERS / "client.py", module],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def ask(self, do: str, **options: Any) -> Any:
        """Have it done.

        Raises:
            RuntimeError: if the process ended; it has said why.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("The process has no pipes.")
        self._process.stdin.write(json.dumps({"do": do, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The enqueuing process ended while asked to {do}.")
        return json.loads(line)
