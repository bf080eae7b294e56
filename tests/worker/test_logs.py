"""The lines that a worker prints in a terminal."""

import logging
import sys

from offload.worker.logs import TerminalFormatter

EVIL = "\x1b]0;owned\x07\x1b[2J\r\n2026-11-30 INFO Task id=fake state=SUCCESSFUL\u202e"


def test_the_text_of_a_task_neither_controls_the_terminal_nor_forges_a_line():
    try:
        raise ValueError(EVIL)  # noqa: TRY301
    except ValueError:
        record = logging.LogRecord("offload", 40, "", 0, "%s", (EVIL,), sys.exc_info())

    message, *traceback = TerminalFormatter("%(levelname)s %(message)s").format(record).split("\n")

    assert message.startswith(r"ERROR \x1b]0;owned\x07\x1b[2J\r\n2026-11-30 INFO")
    assert "Traceback" in traceback[0]
    assert all(line.startswith("  ") for line in traceback)
    assert not any(char in "".join(traceback) for char in "\x1b\x07\r\u202e")
