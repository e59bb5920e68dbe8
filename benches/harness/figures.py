"""From single runs to figures: ratios within each round, then medians of the rounds."""

import statistics

from servers import FLOOR
from workloads import ALL

PINIONS = ("pinion", "pinion_unbatched")
WORKLOADS = {workload.name: workload for workload in ALL}
# What a run is set against in its round: the best of the peers, in each sense.
BEST = {"cost_us": min, "requests_per_s": max, "p50_ms": min, "p99_ms": min, "p999_ms": min}
FASTAPI = "fastapi"


def peers_of(names):
    """Everyone who is neither the floor nor a pinion; an old build is one when its name says so."""
    return [name for name in names if name != FLOOR and not name.startswith("pinion")]


def add_ratios(runs):
    """Sets each run against the floor, the best peer, FastAPI and its base in the same round."""
    rounds = {}
    for run in runs:
        rounds.setdefault((run["round"], run["workload"]), {})[run["server"]] = run
    for (number, name), by_server in rounds.items():
        floor, fastapi = by_server.get(FLOOR), by_server.get(FASTAPI)
        base = rounds.get((number, WORKLOADS[name].base), {})
        # The floor first, as others are set against its ratios.
        for run in sorted(by_server.values(), key=lambda run: run is not floor):
            if floor:
                run["server_to_floor"] = run["server_us"] / floor["server_us"]
                run["cost_to_floor"] = run["cost_us"] / floor["server_us"]
            if fastapi and fastapi is not run:
                run["rate_to_fastapi"] = run["requests_per_s"] / fastapi["requests_per_s"]
            if run["server"] in base:
                run["cost_to_base"] = run["cost_us"] / base[run["server"]]["cost_us"]
            if "cost_to_base" in run and "cost_to_base" in (floor or {}):
                run["base_to_floor"] = run["cost_to_base"] / floor["cost_to_base"]
            others = [by_server[peer] for peer in peers_of(by_server) if peer != run["server"]]
            for key, best in BEST.items():
                if others and key in run:
                    best_of = best(each[key] for each in others)
                    run[f"{key}_to_best"] = run[key] / max(best_of, 1e-9)


def summarize(runs):
    """Median, least and most of every figure, by workload, server and figure."""
    lists, percentiles = {}, {}
    for run in runs:
        figures = lists.setdefault(run["workload"], {}).setdefault(run["server"], {})
        for key, value in run.items():
            if isinstance(value, (int, float)) and key != "round":
                figures.setdefault(key, []).append(value)
        curve = percentiles.setdefault((run["workload"], run["server"]), {})
        for key, value in run["percentiles_us"].items():
            curve.setdefault(key, []).append(value)
    summary = {
        workload: {server: {key: {"median": statistics.median(values), "min": min(values),
                                  "max": max(values), "rounds": len(values)}
                            for key, values in figures.items()}
                   for server, figures in servers.items()}
        for workload, servers in lists.items()}
    for (workload, server), curve in percentiles.items():
        summary[workload][server]["percentiles_us"] = {
            key: statistics.median(values) for key, values in curve.items()}
    return summary


def median(summary, workload, server, key):
    """One median, or None where it was not measured."""
    return summary.get(workload, {}).get(server, {}).get(key, {}).get("median")
