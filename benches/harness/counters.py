"""What the kernel counts of other processes: CPU time, resident memory, system calls."""

import contextlib
import re
import signal
import subprocess
import time
from pathlib import Path

from servers import Fault, process_tree

CPUCLOCK_SCHED = 2  # as clock_getcpuclockid(3) makes the id of a process's CPU clock
TRACE_SECONDS_MAX = 20  # to attach, and to detach


def processes_of(server):
    """The processes of a server and those of its Postgres, which may be a child of the server."""
    postgres = process_tree(server.postmaster) if server.postmaster else []
    return [pid for pid in process_tree(server.process.pid) if pid not in postgres], postgres


def cpu_ns(processes):
    """Nanoseconds on a CPU so far, by process, from the kernel's CPU clock of each process.

    It counts what the first fields of /proc/PID/task/*/schedstat add up to, and also threads that
    have ended since, which a server with a thread per connection has by the hundred.
    """
    spent = {}
    for process in processes:
        clock = ~process << 3 | CPUCLOCK_SCHED
        with contextlib.suppress(OSError):
            spent[process] = time.clock_gettime_ns(clock)
    return spent


def cpu_us_between(before, after):
    """Microseconds; a process that ended in between is lost, one that began counts in full."""
    return sum(after[process] - before.get(process, 0) for process in after) / 1000


def resident_bytes(processes):
    """Exact resident memory; the VmRSS of a status file may lag behind."""
    kib = 0
    for process in processes:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        kib += int(re.search(r"^Rss:\s+(\d+)", text, re.MULTILINE)[1])
    return kib * 1024


def open_files(processes):
    return sum(len(list(Path(f"/proc/{process}/fd").iterdir())) for process in processes)


def trace(stack, output, processes):
    """Attaches strace -fc; returns what ends it and gives the number of calls by name."""
    command = ["strace", "-f", "-c", "-o", str(output), *(f"-p{pid}" for pid in processes)]
    strace = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    stack.callback(strace.kill)  # before Popen's own exit waits; what is traced goes on untraced
    deadline = time.monotonic() + TRACE_SECONDS_MAX
    while not all(is_traced(pid) for pid in processes):
        if strace.poll() is not None or time.monotonic() > deadline:
            strace.kill()
            raise Fault(f"strace can't attach: {strace.communicate()[1].strip()}")
        time.sleep(0.01)

    def finish():
        strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=TRACE_SECONDS_MAX)
        rows = [line.split() for line in output.read_text().splitlines()]
        # % time, seconds, usecs/call, calls, errors (may be empty), name
        return {row[-1]: int(row[3]) for row in rows
                if len(row) in (5, 6) and row[3].isdigit() and row[-1] != "total"}

    return finish


def is_traced(process):
    try:
        return "TracerPid:\t0\n" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True  # it has ended, so there is nothing to wait for
