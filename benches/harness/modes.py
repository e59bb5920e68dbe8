"""The two other modes of scripts/bench: system calls per request, and the soak."""

import contextlib

from counters import open_files, processes_of, resident_bytes, trace
from generators import run_wrk
from report import number, table
from servers import FLOOR, Fault
from workloads import USERS, Workload

CALLS = ("server_calls", "postgres_calls")
SOAK_CONNECTIONS = 256
SOAK_SLICE_SECONDS = 10
SOAK_RATE_MIN = 1_000  # requests/s; slower than this a soak would not end in useful time
SOAK_GROWTH_MAX = 0.02


@contextlib.contextmanager
def started(bench, name):
    with contextlib.ExitStack() as stack:
        yield bench.fleet.start(name, bench.cores[:1], stack)


def count_system_calls(bench):
    """Each closed loop on one core once on each server, with strace on it and on Postgres."""
    workloads = [workload for workload in bench.workloads
                 if workload.cores == 1 and not workload.idle and not workload.share]
    if not workloads:
        raise Fault("--syscalls counts in closed loops on one core: choose such --workloads")
    runs = []
    for name in sorted(bench.names, key=lambda name: name == FLOOR):
        with started(bench, name) as server:
            for workload in workloads:
                if name in bench.takers(workload):
                    runs.append(trace_one(bench, server, workload))
    for workload in workloads:
        print_system_calls(workload, [run for run in runs if run["workload"] == workload.name])
    return runs


def trace_one(bench, server, workload):
    groups = dict(zip(CALLS, processes_of(server)))
    with contextlib.ExitStack() as stack:
        finishers = {group: trace(stack, server.log.with_suffix("." + group), processes)
                     for group, processes in groups.items() if processes}
        counts = run_wrk(bench, server, workload, bench.duration)
        calls = {group: finisher() for group, finisher in finishers.items()}
    run = {"server": server.name, "workload": workload.name, **counts}
    for group, names in calls.items():
        run[group] = {name: calls / max(counts["requests"], 1) for name, calls in names.items()}
    if counts["socket_errors"] or not counts["requests"]:
        bench.faults.append(f"{server.name}, {workload.name}: {counts}")
    return run


def print_system_calls(workload, runs):
    print(f"\n{workload.title}: system calls per request, and those of the server by name\n")
    rows = []
    for run in runs:
        sums = [number(sum(run[group].values()), 3) if group in run else "–" for group in CALLS]
        names = [f"{name} {calls:.3f}" for name, calls
                 in sorted(run[CALLS[0]].items(), key=lambda item: -item[1]) if calls >= 0.001]
        rows.append([run["server"], *sums, ", ".join(names)])
    print(table(["", "server", "Postgres", "the server's"], rows))


def soak(bench, requests):
    """Sends the requests in slices, one server after the other, and holds memory to its start."""
    samples = []
    load = Workload("soak", USERS, SOAK_CONNECTIONS, script_name="mixed.lua")
    for name in bench.takers(load):
        print(f"\n{name}, /health and /users/{{random}}, {SOAK_CONNECTIONS} connections\n"
              "    requests    RSS KiB   growth  open files")
        with started(bench, name) as server:
            samples += soak_one(bench, server, load, requests)
    return samples


def soak_one(bench, server, load, requests):
    # The warm-up, one slice or a twentieth of a long soak, comes on top of the requests.
    samples, sent, base = [], -(requests // 20), None
    while sent < requests:
        counts = run_wrk(bench, server, load, SOAK_SLICE_SECONDS, check=True)
        if counts["requests"] < SOAK_SLICE_SECONDS * SOAK_RATE_MIN:
            raise Fault(f"{server.name} answers too slowly: {counts}")
        processes, _ = processes_of(server)
        rss, files = resident_bytes(processes), open_files(processes)
        sent += counts["requests"]
        if base is None and sent >= 0:
            sent, base = 0, rss
        growth = rss / base - 1 if base else 0
        label = f"{sent:,}" if sent > 0 else "warm-up"
        print(f"{label:>12}  {rss // 1024:>9,}  {growth:>+7.2%}  {files}", flush=True)
        samples.append({"server": server.name, "requests_so_far": sent, "rss_bytes": rss,
                        "growth": growth, "open_files": files, **counts})
        if growth > SOAK_GROWTH_MAX:
            bench.faults.append(f"{server.name} grew by {growth:.2%} at {sent:,} requests")
        if counts["unexpected"] or counts["socket_errors"]:
            bench.faults.append(f"{server.name} at {sent:,} requests: {counts}")
    return samples
