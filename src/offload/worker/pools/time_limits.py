"""How long the worker waits for its processes, and why so long.

The worker's loop never waits for one of them while it runs: it looks again at its next step.
"""

from __future__ import annotations

LOAD_TIMEOUT = 120.0
"""Seconds in which the fork server loads the project, before it is killed.

Large projects with a cold file cache and little CPU take up to a minute.
"""
SLOW_LOAD = 10.0
"""Seconds after which a line says that the project is still being loaded: most take less."""
FORK_TIMEOUT = 10.0
"""Seconds in which the fork server forks a process, before it is killed.

A fork takes milliseconds, so by then a hook of `os.register_at_fork` hangs. The processes that the
server has forked are killed with it, as nobody else can report their exits.
"""
UNANSWERED_TIMEOUT = 1.0
"""The same for a worker that stops: it need not wait to see whether the server goes on."""
READY_TIMEOUT = 120.0
"""Seconds in which a forked process becomes ready.

It only starts threads, but hooks of the project may run before.
"""
CLOSED_TIMEOUT = 1.0
"""Seconds in which a process exits after it has closed its connection.

Usually the kernel closes it at the exit.
"""
STOPPED_CHECK_INTERVAL = 1.0
"""Seconds between two looks at whether a signal has stopped a child: each reads a file."""
MEMORY_INTERVAL = 0.5
"""Seconds between two reads of the memory of a child that may use too much: each takes
milliseconds for a large process."""
CHECK_INTERVAL = 0.05
"""Seconds between two looks at what a child does, at least: jobs may finish more often."""
PING_INTERVAL = 5.0
"""Seconds that a job runs before its process is asked to respond, and between two questions."""
UNRESPONSIVE_TIMEOUT = 10.0
"""Seconds without an answer after which a line says that a job holds up its process.

Calls of C code that hold the interpreter for some seconds are usual, also beside other load.
"""
REPLACE_TIMEOUT = 5.0
"""Seconds after which a child is replaced that could start jobs and does not.

It may go on by itself after a call of C code, and another process costs memory.
"""
STOP_TIMEOUT = 1.0
"""Seconds in which a process exits after STOP, in addition to the kill grace period.

Its exit handlers have that period; this is for the rest.
"""
KILL_TIMEOUT = 5.0
"""Seconds that the worker waits at its end for the exit of a process that it has killed.

The kernel may have to free gigabytes before.
"""
MAX_RESTART_DELAY = 60.0
"""Seconds between two tries to start a child process, at most.

What prevents the start may last for hours; jobs should not wait for much longer than it does.
"""
