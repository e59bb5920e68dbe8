"""The comparison: rounds in which every server takes every load, and what each load cost."""

import contextlib
import dataclasses
import statistics

import bodies
from counters import cpu_ns, cpu_us_between, processes_of, resident_bytes
from generators import (
    allow_descriptors, idle_connections, run_oha, run_wrk, settle, still_open)
from progress import Progress
from servers import FLOOR, Fault, Fleet, fetch
from workloads import ALL, HEALTH, USERS, Workload, takes_part

WARM_UP_SECONDS = 1
IDLE_ROUNDS_MAX = 3  # each round starts every server anew and opens thousands of connections
IDLE_OVERHEAD_SECONDS = 4  # for that
RUN_OVERHEAD_SECONDS = 0.15
SATURATION_RUNS = 3
SATURATING_RATE = 100_000  # requests/s for each core of oha, more than it can send
KEPT_UP = 0.98  # of the rate that was asked for
QUICK_SECONDS_MAX = 140  # leaves the rest of three minutes for starting and stopping
PERCENTILES = {"p50_ms": "50", "p99_ms": "99", "p999_ms": "99.9"}
BASE_OF_IDLE = "health-64"


@dataclasses.dataclass
class Bench:
    """What a run is made of. `servers` are those that run all the time, by name and cores."""

    fleet: Fleet
    names: list
    workloads: list
    rounds: int
    duration: int
    users: int
    cores: list
    load_cores: list
    progress: Progress | None = None
    servers: dict = dataclasses.field(default_factory=dict)
    checked: dict = dataclasses.field(default_factory=dict)
    saturation: dict = dataclasses.field(default_factory=dict)
    faults: list = dataclasses.field(default_factory=list)

    def load_cores_of(self, workload):
        """The generator's cores: all of them when it can't help sharing the servers'."""
        used = self.cores[:workload.cores]
        if workload.cores > 1 and set(used) & set(self.load_cores):
            return sorted({*used, *self.load_cores})
        return self.load_cores

    def takers(self, workload):
        return [name for name in self.names if takes_part(name, workload)]

    def rounds_of(self, workload):
        return min(self.rounds, IDLE_ROUNDS_MAX) if workload.idle else self.rounds

    def server(self, name, workload):
        return self.servers[name, workload.cores]


def compare(bench):
    """All rounds of all workloads. Gives the runs; what went wrong is in `bench.faults`."""
    check_cores(bench)
    if idle := max(workload.idle for workload in bench.workloads):
        allow_descriptors(idle)
    bench.progress = Progress(planned_seconds(bench))
    bench.progress.note("starting the servers")
    with bench.progress.step("starting the servers", 0):
        start_servers(bench)
        bodies.require_equal(list(bench.servers.values()), bench.users,
                             dict.fromkeys(workload.path for workload in bench.workloads))
    warm_up(bench)
    find_saturation(bench)
    runs = []
    try:
        for number in range(1, bench.rounds + 1):
            bench.progress.note(f"round {number} of {bench.rounds}")
            for workload in bench.workloads:
                if number <= bench.rounds_of(workload):
                    one_round(bench, number, workload, runs)
    except Fault as fault:  # what was measured until then is shown all the same
        if not runs:
            raise
        bench.faults.append(str(fault))
    bench.progress.end()
    return runs


def check_cores(bench):
    most = max(workload.cores for workload in bench.workloads)
    if most > len(bench.cores):
        raise Fault(f"--cores: {most} are needed, or leave two-cores-* out with --workloads")


def planned_seconds(bench):
    """How long everything that is loaded takes; starting the servers comes on top."""
    seconds = sum(WARM_UP_SECONDS + RUN_OVERHEAD_SECONDS for _ in warm_ups(bench))
    seconds += sum(duration + RUN_OVERHEAD_SECONDS for _, duration in saturation_runs(bench))
    return seconds + sum(len(bench.takers(workload)) * bench.rounds_of(workload)
                         * seconds_of(bench, workload) for workload in bench.workloads)


def seconds_of(bench, workload):
    once = bench.duration + RUN_OVERHEAD_SECONDS
    return 2 * once + IDLE_OVERHEAD_SECONDS if workload.idle else once


def start_servers(bench):
    """Every server for every number of cores that is asked for; the floor last."""
    for name in sorted(bench.names, key=lambda name: name == FLOOR):
        for cores in sorted({workload.cores for workload in bench.workloads if not workload.idle
                             and takes_part(name, workload)}):
            server = bench.fleet.start(name, bench.cores[:cores])
            bench.servers[name, cores] = server
            if len(bench.servers) == 1:  # the floor's answer is as long as the first one's
                length = fetch(server.port, HEALTH)[1]
                bench.fleet.facts["answer_bytes"] = str(
                    max(length, int(bench.fleet.facts["answer_bytes"])))


def warm_ups(bench):
    """One workload of each script and number of cores for each server."""
    seen = set()
    for workload in bench.workloads:
        for name in bench.takers(workload) if not workload.idle else []:
            key = name, workload.script, workload.cores
            if key not in seen:
                seen.add(key)
                yield name, workload


def warm_up(bench):
    """A short load of each kind on each server, not counted, in which every status is looked at."""
    for name, workload in warm_ups(bench):
        with bench.progress.step(f"warm-up of {name}", WARM_UP_SECONDS + RUN_OVERHEAD_SECONDS):
            counts = run_wrk(bench, bench.server(name, workload), workload, WARM_UP_SECONDS,
                             check=True)
        bench.checked.setdefault((name, workload.path), counts)
        if counts["unexpected"] or counts["socket_errors"] or not counts["requests"]:
            bench.faults.append(f"{name}, {workload.name}, warm-up: {counts}")


def saturation_runs(bench):
    """Whose saturation the open loops need, and for how long it is looked for each time."""
    shared = any(workload.share and not workload.own_rate for workload in bench.workloads)
    own = any(workload.own_rate for workload in bench.workloads)
    names = [name for name in bench.names if takes_part(name, OPEN)] if own else []
    if shared and reference(bench) not in names:
        names = [reference(bench), *names]
    return [(name, bench.duration) for name in names for _ in range(SATURATION_RUNS)]


OPEN = Workload("saturation", USERS, next(w.connections for w in ALL if w.share), share=1)


def reference(bench):
    """Whose saturation the shared rates are parts of: pinion's."""
    return "pinion" if "pinion" in bench.names else bench.names[0]


def find_saturation(bench):
    """What oha's open loop gets out of a server when it asks for more than that."""
    rates, rate = {}, SATURATING_RATE * len(bench.load_cores)
    for name, seconds in saturation_runs(bench):
        with bench.progress.step(f"saturation of {name}", seconds + RUN_OVERHEAD_SECONDS):
            counts = run_oha(bench, bench.server(name, OPEN), OPEN, seconds, rate)
        rates.setdefault(name, []).append(counts["requests"] / counts["duration_us"] * 1e6)
    bench.saturation = {name: statistics.median(found) for name, found in rates.items()}


def one_round(bench, number, workload, runs):
    """Every server once; each round begins with another, so that nobody always runs first."""
    names = bench.takers(workload)
    first = number % len(names) if names else 0
    for name in names[first:] + names[:first]:
        label = f"round {number} of {bench.rounds}: {workload.name}, {name}"
        with bench.progress.step(label, seconds_of(bench, workload)):
            if workload.idle:
                run = try_idle(bench, name, workload)
            else:
                run = measure(bench, bench.server(name, workload), workload)
        if not run:
            continue
        run = {"round": number, **run}
        runs.append(run)
        if run["wrong_answers"] or run["socket_errors"]:
            bench.faults.append(f"{name}, {workload.name}, round {number}: "
                                f"{run['wrong_answers']} wrong answers, "
                                f"{run['socket_errors']} socket errors")


def measure(bench, server, workload):
    """One counted load, and the CPU time that server, Postgres and generator spent on it."""
    own, postgres = processes_of(server)
    own_before, postgres_before = cpu_ns(own), cpu_ns(postgres)
    if workload.share:
        rate = workload.share * bench.saturation[
            server.name if workload.own_rate else reference(bench)]
        counts = {**run_oha(bench, server, workload, bench.duration, rate), "asked_per_s": rate}
    else:
        counts = run_wrk(bench, server, workload, bench.duration)
    own, postgres = processes_of(server)
    own_us = cpu_us_between(own_before, cpu_ns(own))
    postgres_us = cpu_us_between(postgres_before, cpu_ns(postgres))
    requests, load_us = counts["requests"], counts.pop("load_cpu_us")
    if requests == 0:
        raise Fault(f"{server.name} answered nothing of {workload.name}")
    run = {"server": server.name, "workload": workload.name, **counts,
           "requests_per_s": requests / (counts["duration_us"] / 1e6),
           "server_us": own_us / requests, "postgres_us": postgres_us / requests,
           "cost_us": (own_us + postgres_us) / requests, "load_us": load_us / requests,
           "load_busy": load_us / counts["duration_us"] / counts.pop("load_cores"),
           "rss_mib": resident_bytes(own) / 2**20,
           "wrong_answers": wrong_answers(bench, server.name, workload, counts)}
    run |= {key: counts["percentiles_us"][percentile] / 1000 for key, percentile
            in PERCENTILES.items() if percentile in counts["percentiles_us"]}
    if workload.share:
        run["kept_up"] = run["requests_per_s"] / counts["asked_per_s"]
    return run


def try_idle(bench, name, workload):
    """A server that fails alone is no reason to leave out the others, as it is its own process."""
    try:
        return measure_idle(bench, name, workload)
    except (Fault, OSError) as fault:
        bench.faults.append(f"{name}, {workload.name}: {fault}")
        return None


def measure_idle(bench, name, workload):
    """A server of its own: at rest its memory, with idle connections its memory and its cost."""
    base = next(each for each in ALL if each.name == BASE_OF_IDLE)
    with contextlib.ExitStack() as stack:
        server = bench.fleet.start(name, bench.cores[:1], stack)
        alone = measure(bench, server, base)
        settle()
        before = resident_bytes(processes_of(server)[0])
        with idle_connections(server, workload.idle) as connections:
            settle()
            after = resident_bytes(processes_of(server)[0])
            run = measure(bench, server, workload)
            left = still_open(connections)
    return {**run, "idle_bytes": (after - before) / workload.idle, "idle_open": left,
            "base_us": alone["cost_us"], "cost_to_base": run["cost_us"] / alone["cost_us"]}


def wrong_answers(bench, name, workload, counts):
    """Statuses of 400 and more beyond the 404s that the checked warm-up leads to expect.

    Five standard deviations of that share are allowed, so chance alone is never reported.
    """
    checked = bench.checked.get((name, workload.path))
    if not checked or not checked["requests"]:  # nothing but 200 is known to be right
        return counts["status_400_up"]
    if counts["unexpected"]:  # oha tells every status apart
        return counts["unexpected"]
    share, requests = checked["status_400_up"] / checked["requests"], counts["requests"]
    variance = share * requests * (1 + requests / checked["requests"])
    surplus = counts["status_400_up"] - share * requests
    allowed = 5 * variance**0.5 + 5 if share else 0
    return round(surplus) if surplus > allowed else 0
