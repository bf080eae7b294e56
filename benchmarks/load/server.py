"""Web servers as users start them, on a free port of loopback, and `wrk` against them."""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from load.engine import PAUSE

CONNECTIONS = 50
COMMANDS = {
    "uvicorn": "uvicorn load.web:asgi --port {port} --no-access-log --log-level warning "
    "--lifespan off",
    "gunicorn": "gunicorn load.web:wsgi --bind 127.0.0.1:{port} --workers 2 --threads 4 "
    "--log-level warning",
}
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests per second, milliseconds, requests in all, and failed ones."""

    rate: float
    p50: float
    p99: float
    requests: int
    failed: int


@contextmanager
def serving(server: str, python: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Keep a web server; return its address once it answers.

    Args:
        server: uvicorn or gunicorn.
        python: of the environment that has it.
        env: with the project's settings.
    """
    port = free_port()
    command = [str(python), "-m", *COMMANDS[server].format(port=port).split()]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=dict(env), stdout=said, stderr=said)
        try:
            if not answers(port, process):
                said.seek(0)
                raise RuntimeError(f"{server} does not answer: {said.read().decode()[-2000:]}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def press(url: str, seconds: int) -> Load:
    """Send requests over 50 connections, after a second of warming up."""
    _wrk(url, 1)
    load = _read(_wrk(url, seconds))
    if load.failed > load.requests // 100:
        raise RuntimeError(f"{load.failed:,} of {load.requests:,} requests failed.")
    return load


def _wrk(url: str, seconds: int) -> str:
    command = [
        "wrk",
        "-t2",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--latency",
        "--timeout",
        "5s",
        url,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _read(text: str) -> Load:
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    return Load(
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", text)[0]),
        p50=_milliseconds("50%", text),
        p99=_milliseconds("99%", text),
        requests=int(_found(r"(\d+) requests in", text)[0]),
        failed=(int(failed[1]) if failed else 0) + sum(map(int, broken.groups() if broken else ())),
    )


def _milliseconds(share: str, text: str) -> float:
    number, unit = _found(rf"{share}\s+([\d.]+)(us|ms|s)", text)
    return float(number) * UNITS[unit]


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk said: {text}")
    return match.groups()


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a server takes connections; False if it ends before, or takes none for long."""
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        PAUSE.wait(0.1)
    return False
