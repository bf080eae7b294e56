#!/usr/bin/env python
"""Start the demo shop: `run.py` for a browser, `run.py --once` to run and check everything."""

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import django
from django.core.management import call_command

from support import samples
from support.api_server import ApiServer
from support.checks import Context
from support.mail_server import MailServer
from support.sample_visits import record_visits
from support.scenarios import run_all
from support.visitor import Visitor
from support.web_server import WebServer

VAR = Path(os.environ.get("DEMO_VAR", Path(__file__).parent / "var")).resolve()


def main() -> int:
    """Start the shop and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="run all experiments, print a table and exit"
    )
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        try:
            prepare()
            apis = stack.enter_context(ApiServer())
            server = start_shop(stack, apis)
            if once:
                return 0 if run_all(Context(Visitor(server.address), VAR, apis)) else 1
            print(f"The shop is running at {server.address} (stop it with Ctrl-C).", flush=True)
            server.process.join()
        except KeyboardInterrupt:
            print("\nThe shop is stopping.", flush=True)
            return 130 if once else 0
    return 1


def prepare() -> None:
    """Prepare the working directory: the sample files and the database."""
    samples.prepare(VAR / "samples")
    os.environ["DEMO_VAR"] = str(VAR)
    os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    record_visits(VAR / "shop.sqlite3")


def start_shop(stack: ExitStack, apis: ApiServer) -> WebServer:
    """Start the mail server, then the web server with the ports of the other servers."""
    mail_server = stack.enter_context(MailServer(VAR / "mailbox"))
    os.environ["DEMO_SMTP_PORT"] = str(mail_server.port)
    os.environ["DEMO_API_PORT"] = str(apis.port)
    return stack.enter_context(WebServer(int(os.environ.get("PORT", "8000"))))


if __name__ == "__main__":
    sys.exit(main())
