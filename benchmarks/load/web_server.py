"""Web servers on a free port of loopback, and the load generator `wrk`."""

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

from load.worker import PAUSE

CONNECTIONS = 50
COMMANDS = {
    "uvicorn": "uvicorn load.applications:asgi --port {port} --no-access-log --log-level warning "
    "--lifespan off",
    "gunicorn": "gunicorn load.applications:wsgi --bind 127.0.0.1:{port} --workers 2 --threads 4 "
    "--log-level warning",
}
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class WrkResult:
    """Requests per second, latencies in milliseconds, and numbers of requests."""

    rate: float
    p50: float
    p99: float
    requests: int
    failed: int


@contextmanager
def serving(server: str, python: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Keep a web server running and yield its address.

    Args:
        server: uvicorn or gunicorn.
        python: the interpreter of its environment.
        env: environment variables, including the settings.
    """
    port = free_port()
    command = [str(python), "-m", *COMMANDS[server].format(port=port).split()]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=dict(env), stdout=output, stderr=output)
        try:
            if not accepts_connections(port, process):
                output.seek(0)
                raise RuntimeError(f"{server} does not answer: {output.read().decode()[-2000:]}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def run_wrk(url: str, seconds: int) -> WrkResult:
    """Send requests over 50 connections, after one second of warm-up."""
    _wrk(url, 1)
    result = _parse(_wrk(url, seconds))
    if result.failed > result.requests // 100:
        raise RuntimeError(f"{result.failed:,} of {result.requests:,} requests failed.")
    return result


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


def _parse(text: str) -> WrkResult:
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    socket_errors = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    failed = int(errors[1]) if errors else 0
    if socket_errors:
        failed += sum(map(int, socket_errors.groups()))
    return WrkResult(
        rate=float(_search(r"Requests/sec:\s+([\d.]+)", text)[0]),
        p50=_milliseconds("50%", text),
        p99=_milliseconds("99%", text),
        requests=int(_search(r"(\d+) requests in", text)[0]),
        failed=failed,
    )


def _milliseconds(share: str, text: str) -> float:
    number, unit = _search(rf"{share}\s+([\d.]+)(us|ms|s)", text)
    return float(number) * MILLISECONDS[unit]


def _search(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"Unexpected output of wrk: {text}")
    return match.groups()


def free_port() -> int:
    """Return an unused port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts_connections(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a server accepts connections; False if it exits or after 30 seconds."""
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        PAUSE.wait(0.1)
    return False
