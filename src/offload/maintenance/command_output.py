"""The output of a management command: logged line by line, its end kept."""

from __future__ import annotations

import logging
from collections import deque

from offload.text import to_storable_text, to_terminal_text

logger = logging.getLogger("offload.maintenance")

MAX_KEPT_CHARS = 20_000
"""Characters of the output that become the job's return value."""
MAX_NOTE_CHARS = 2_000
"""Characters of the output that an error of the command ends with."""
MAX_LOGGED_LINES = 1_000
MAX_LINE_CHARS = 1_000


class CommandOutput:
    """Standard output of a command.

    Args:
        name: of the command, for the log; its arguments may be secrets.

    Attributes:
        errors: standard error of the command, whose lines are logged as warnings.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._kept: deque[str] = deque()
        self._kept_chars = 0
        self._left_out = 0
        self._logged_lines = 0
        self._line = ""
        self.errors = _ErrorOutput(self)

    def write(self, text: str, level: int = logging.INFO) -> int:
        """Keep and log text; the log gets whole lines."""
        self._keep(text)
        *lines, last = (self._line + text).split("\n")
        for line in lines:
            self._log(line, level)
        self._line = last[:MAX_LINE_CHARS]
        return len(text)

    def flush(self) -> None:
        """Do nothing: complete lines have been logged."""

    def isatty(self) -> bool:
        """Return that it is no terminal, so that commands use no colors."""
        return False

    def close_line(self) -> None:
        """Log the last line if it has no end."""
        if self._line:
            self.write("\n")

    @property
    def tail(self) -> str:
        """The end of the output, without the white space after it."""
        return self._end(MAX_KEPT_CHARS)

    def explain(self, error: Exception) -> Exception:
        """Add the end of the output to an error's traceback; return the error."""
        if end := self._end(MAX_NOTE_CHARS):
            error.add_note(f"The output of the command {self._name!r} ended with:\n{end}")
        return error

    def _end(self, max_chars: int) -> str:
        text = "".join(self._kept).rstrip()
        left_out = self._left_out + max(0, len(text) - max_chars)
        text = to_storable_text(text[-max_chars:], max_chars=2 * max_chars)
        return f"... {left_out:,} characters left out ...\n{text}" if left_out else text

    def _keep(self, text: str) -> None:
        left_out = max(0, len(text) - MAX_KEPT_CHARS)
        self._left_out += left_out
        self._kept.append(text[left_out:])
        self._kept_chars += len(text) - left_out
        while self._kept_chars - len(self._kept[0]) >= MAX_KEPT_CHARS:
            first = self._kept.popleft()
            self._kept_chars -= len(first)
            self._left_out += len(first)

    def _log(self, line: str, level: int) -> None:
        line = line.rstrip()
        if not line or self._logged_lines > MAX_LOGGED_LINES:
            return
        self._logged_lines += 1
        if self._logged_lines > MAX_LOGGED_LINES:
            logger.info("%s: more than %d lines are not logged.", self._name, MAX_LOGGED_LINES)
            return
        logger.log(level, "%s: %s", self._name, to_terminal_text(line[:MAX_LINE_CHARS]))


class _ErrorOutput:
    """Standard error of a command, which is kept in its order with standard output."""

    def __init__(self, output: CommandOutput) -> None:
        self._output = output

    def write(self, text: str) -> int:
        """Keep text, and log it as warnings."""
        return self._output.write(text, logging.WARNING)

    def flush(self) -> None:
        """Do nothing, as there is no buffer."""

    def isatty(self) -> bool:
        """Return that it is no terminal."""
        return False
