"""The load generators: wrk (closed loops), oha (open loops) and idle connections."""

import contextlib
import json
import re
import resource
import socket
import subprocess
import time

from building import OHA
from servers import ROOT, Fault, require_alive
from workloads import PIPELINED

ABORTED = "aborted due to deadline"  # oha's word for what was in flight when the time was over
SETTLE_SECONDS_MAX = 60  # what a load may take beyond its duration
DESCRIPTORS_TO_SPARE = 2_000  # beside the idle connections, here and in each server


def run_wrk(bench, server, workload, seconds, check=False):
    """One closed loop: wrk's counts, its percentiles in µs and its own CPU time."""
    cores = bench.load_cores_of(workload)
    threads = min(len(cores), workload.connections)
    command = ["taskset", "-c", ",".join(map(str, cores)), "wrk", f"-t{threads}",
               f"-c{workload.connections}", f"-d{seconds}s",
               "-s", str(ROOT / "benches/load" / workload.script),
               f"http://127.0.0.1:{server.port}", "--", str(bench.users)]
    output, cpu_us = run(command + ["check"] * check, server, workload, seconds)
    line = re.search(r"^result: (.*)$", output, re.MULTILINE)
    if not line:
        raise Fault(f"wrk on {server.name}, {workload.name}: {output}")
    counts = dict(pair.split("=") for pair in line[1].split())
    percentiles = {key[1:]: int(counts.pop(key)) for key in list(counts) if key[0] == "p"}
    if workload.script == PIPELINED:  # wrk takes a time only for the last answer of a write
        percentiles = {}
    counts = {key: int(value) for key, value in counts.items()}
    return {**counts, "percentiles_us": percentiles, "load_cpu_us": cpu_us,
            "load_cores": len(cores)}


def run_oha(bench, server, workload, seconds, rate):
    """One open loop at `rate` requests/s; in the form of run_wrk."""
    cores = bench.load_cores_of(workload)
    # Ids of one length, as each digit is drawn by itself: 10000 to 99999 of 100,000 users.
    digits = len(str(bench.users)) - 1
    # The dots of the address stand for themselves: oha takes that meaning out of its expressions.
    url = f"http://127.0.0.1:{server.port}/users/[1-9][0-9]{{{max(digits - 1, 0)}}}"
    command = ["taskset", "-c", ",".join(map(str, cores)), str(OHA), "--no-tui",
               "--output-format", "json", "--worker-threads", str(len(cores)),
               "-c", str(workload.connections), "-z", f"{seconds}s", "--connect-timeout", "5s",
               "--rand-regex-url", "-q", str(rate), "--latency-correction", url]
    output, cpu_us = run(command, server, workload, seconds)
    found = json.loads(output)
    statuses = {int(status): count for status, count in found["statusCodeDistribution"].items()}
    faults = {text: count for text, count in found["errorDistribution"].items() if text != ABORTED}
    requests = sum(statuses.values())
    return {"requests": requests, "duration_us": round(found["summary"]["total"] * 1e6),
            "status_400_up": sum(n for status, n in statuses.items() if status >= 400),
            "unexpected": sum(n for status, n in statuses.items() if status not in (200, 404)),
            "socket_errors": sum(faults.values()), "load_cpu_us": cpu_us,
            "load_cores": len(cores),
            "percentiles_us": {key[1:]: round(value * 1e6) for key, value
                               in found["latencyPercentiles"].items() if value is not None}}


def run(command, server, workload, seconds):
    """Standard output of a generator, and the CPU time in µs that it took."""
    before = children_cpu_us()
    try:
        done = subprocess.run(command, capture_output=True, text=True,
                              timeout=seconds + SETTLE_SECONDS_MAX)
    except subprocess.TimeoutExpired as error:
        raise Fault(f"the load on {server.name}, {workload.name}, does not end") from error
    spent = children_cpu_us() - before
    require_alive(server)
    if done.returncode != 0:
        raise Fault(f"the load on {server.name}, {workload.name}: {done.stderr or done.stdout}")
    return done.stdout, spent


def children_cpu_us():
    """CPU time of all processes that were waited for: the generator is the only one meanwhile."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime + usage.ru_stime) * 1e6


@contextlib.contextmanager
def idle_connections(server, count):
    """Opens connections that each send one request and then nothing more."""
    request = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        connections = []
        for number in range(1, count + 1):
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", server.port), timeout=10))
            connection.sendall(request)
            line = connection.recv(65536).partition(b"\r\n")[0].decode(errors="replace")
            if not line.startswith("HTTP/1.1 200"):
                raise Fault(f"{server.name} answers the first request of connection {number:,} "
                            f"with {line!r}")
            connections.append(connection)
        yield connections


def still_open(connections):
    """How many of these the server has not closed."""
    count = 0
    for connection in connections:
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # a reset one counts as closed
            try:
                count += connection.recv(1) != b""
            except BlockingIOError:
                count += 1
    return count


def allow_descriptors(connections):
    """Raises the limit on open files for this process and the servers that it starts."""
    needed = connections + DESCRIPTORS_TO_SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    with contextlib.suppress(ValueError, OSError):  # above the hard limit only root may go
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
        return
    raise Fault(f"{needed} open files are needed and {hard} allowed: raise ulimit -Hn, or leave "
                "idle-10000 out with --workloads")


def settle(seconds=0.2):
    """Lets a server finish what the end of a load left it to do."""
    time.sleep(seconds)
