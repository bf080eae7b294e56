"""The base of the commands that read and change jobs."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand

INTERRUPTED_CODE = 128 + 2
"""The exit code of a program that SIGINT ended."""
BROKEN_PIPE_CODE = 128 + 13
"""The exit code of a program that SIGPIPE ended."""


class OffloadCommand(BaseCommand):
    """A command that ends without a traceback at Ctrl-C, and in a closed pipe such as `| head`.

    It reports by itself what Django would check before.
    """

    requires_system_checks = ()
    requires_migrations_checks = False

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            output = super().execute(*args, **options)
            self.stdout.flush()
        except KeyboardInterrupt:
            self.stderr.write("\nInterrupted.")
            sys.exit(INTERRUPTED_CODE)
        except BrokenPipeError:
            # Python flushes again at exit, and would report the error then.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(BROKEN_PIPE_CODE)
        return output
