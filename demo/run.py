#!/usr/bin/env python
"""Opens the shop: `run.py` for a browser, `run.py --once` to try and check everything."""

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import django
from django.core.management import call_command

from stage import samples
from stage.checks import Stage
from stage.mailbox import Mailbox
from stage.outside import Outside
from stage.rehearsal import rehearse
from stage.traffic import record_visits
from stage.visitor import Visitor
from stage.website import Website

VAR = Path(os.environ.get("DEMO_VAR", Path(__file__).parent / "var")).resolve()


def main() -> int:
    """Open the shop and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="run all experiments, print a table")
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        try:
            prepare()
            outside = stack.enter_context(Outside())
            website = open_shop(stack, outside)
            if once:
                return 0 if rehearse(Stage(Visitor(website.address), VAR, outside)) else 1
            print(f"The shop is open at {website.address} (Ctrl-C closes it).", flush=True)
            website.process.join()
        except KeyboardInterrupt:
            print("\nThe shop is closing.", flush=True)
            return 130 if once else 0
    return 1


def prepare() -> None:
    """Make the working directory: the samples and the database."""
    samples.prepare(VAR / "samples")
    os.environ["DEMO_VAR"] = str(VAR)
    os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    record_visits(VAR / "shop.sqlite3")


def open_shop(stack: ExitStack, outside: Outside) -> Website:
    """Start the mail server, then the web server, which is told where the others are."""
    mailbox = stack.enter_context(Mailbox(VAR / "mailbox"))
    os.environ["DEMO_SMTP_PORT"] = str(mailbox.port)
    os.environ["DEMO_OUTSIDE_PORT"] = str(outside.port)
    return stack.enter_context(Website(int(os.environ.get("PORT", "8000"))))


if __name__ == "__main__":
    sys.exit(main())
