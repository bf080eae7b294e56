"""The process of a contender that enqueues: `contenders/client.py`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

CONTENDERS = Path(__file__).resolve().parents[1] / "contenders"
STOP_TIMEOUT_SECONDS = 5


class ClientProcess:
    """A client process that answers requests; stopped at the end of a `with` block."""

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
            self._process.communicate(timeout=STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def request(self, method: str, **options: Any) -> Any:
        """Call a method of the client and return its answer.

        Raises:
            RuntimeError: if the process exited; its traceback is on standard error.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("The client process has no pipes.")
        self._process.stdin.write(json.dumps({"method": method, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The client process exited during {method!r}.")
        return json.loads(line)
