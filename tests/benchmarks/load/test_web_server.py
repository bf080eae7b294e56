"""The output of wrk, parsed."""

from __future__ import annotations

import pytest

from load.web_server import WrkResult, _parse

OUTPUT = """\
Running 2s test @ http://127.0.0.1:8000/enqueue
  2 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    12.34ms    3.21ms   1.20s    68.50%
    Req/Sec     2.01k   100.00     2.20k    70.99%
  Latency Distribution
     50%  850.00us
     75%   13.00ms
     90%   15.00ms
     99%    1.20s
  8012 requests in 2.00s, 1.50MB read
"""
ERRORS = """\
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
"""
RATE = "Requests/sec:   4005.12\nTransfer/sec:    768.00KB\n"


@pytest.mark.parametrize(("errors", "failed"), [("", 0), (ERRORS, 15)])
def test_times_are_in_milliseconds_and_failures_are_added(errors, failed):
    assert _parse(OUTPUT + errors + RATE) == WrkResult(4005.12, 0.85, 1200.0, 8012, failed)


def test_output_without_a_measurement_is_an_error():
    with pytest.raises(RuntimeError, match="unable to connect"):
        _parse("unable to connect to 127.0.0.1:8000 Connection refused")
