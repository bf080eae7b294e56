"""The tasks of `single_file.py`. What they see they write to the file `events`."""

import asyncio
import atexit
import logging
import multiprocessing
import signal
import subprocess
import sys
import threading
from contextvars import ContextVar
from pathlib import Path

import offload

EVENTS = Path(__file__).parents[2] / "events"
sent: list[str] = []
sys.stdout.write(
    "imported\n"
)  # each child would print it again if it were still buffered at the fork

if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def record(text: object) -> None:
    with EVENTS.open("a") as events:
        events.write(f"{text}\n")


@atexit.register
def send() -> None:
    if sent:
        record(f"sent {' '.join(sent)}")


@offload.task
def say() -> None:
    sent.append("hello")
    logging.getLogger("shop").info("hello")


@offload.task
def fail() -> None:
    raise ValueError("because")


@offload.task(timeout=20)
def end_program() -> None:
    program = subprocess.Popen(["sleep", "60"])
    program.terminate()
    record(f"program {program.wait()}")


@offload.task(timeout=20)
async def end_async_program() -> None:
    program = await asyncio.create_subprocess_exec("sleep", "60")
    program.terminate()
    record(f"async program {await program.wait()}")


def end(process: multiprocessing.process.BaseProcess) -> None:
    process.start()
    process.terminate()
    process.join()
    record(f"{type(process).__name__} {process.exitcode}")


@offload.task(timeout=20)
def end_forked_process() -> None:
    end(multiprocessing.get_context("fork").Process(target=signal.pause))


@offload.task(timeout=20)
def end_process_of_fork_server() -> None:
    end(multiprocessing.get_context("forkserver").Process(target=signal.pause))


@offload.task(timeout=20)
def use_pool() -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        record(f"pool {pool.map(abs, [-1, -2])}")


variable: ContextVar[str] = ContextVar("variable", default="unset")
variable.set("set by the import")


@offload.task
async def look_at_context() -> None:
    record(f"context variable {variable.get()}")


@offload.task
def look_at_handler() -> None:
    record(f"default handler: {signal.getsignal(signal.SIGTERM) == signal.SIG_DFL}")
