"""Prints the outcome of a comparison and writes its directory: tables, figures, pictures."""

import dataclasses
import json
import re
import sys

import figures
import goals
import machine
import pictures
import report
from servers import ROOT
from workloads import ALL

CPU_OF = ["health-64", "users-64", "agents-64", "products-64", "pipelined-64", "idle-10000"]
RATES_OF = ["health-64", "users-64", "agents-64", "products-64", "pipelined-64"]
CURVES_OF = ["health-64", "users-64", "single-users", "open-50", "open-80"]


def publish(bench, runs, directory):
    """Everything that a run leaves behind. Gives what stands in figures.json."""
    figures.add_ratios(runs)
    summary = figures.summarize(runs)
    summary = {each.name: summary[each.name] for each in ALL if each.name in summary}
    judged = goals.judge(summary)
    facts = machine.facts(bench.names, bench.cores, bench.load_cores, postmaster_of(bench))
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.svg"):
        old.unlink()
    shown = draw(summary, bench.names, directory)
    text = readme(bench, summary, judged, facts, shown)
    (directory / "README.md").write_text(text)
    found = {"facts": facts, "faults": bench.faults, "saturation": bench.saturation,
             "workloads": [dataclasses.asdict(each) for each in bench.workloads],
             "goals": judged, "summary": summary, "runs": runs}
    (directory / "figures.json").write_text(json.dumps(found, indent=1) + "\n")
    print(re.sub(r"!\[.*\n\n", "", text), end="")
    print(f"\nwritten to {directory.relative_to(ROOT)}", file=sys.stderr)
    return found


def postmaster_of(bench):
    return next((server.postmaster for server in bench.servers.values() if server.postmaster), None)


def readme(bench, summary, judged, facts, shown):
    parts = [
        f"# {facts['date']}, {facts['CPU']}", report.notes(bench, bench.names),
        "## Goals", goals.as_text(judged, summary),
        "## Overview", *report.overview(summary, bench.names),
        *(f"![{title}]({name})" for name, title in shown),
        "## Every workload", *report.details(summary, bench.names),
        "## Machine and versions", report.machine(facts)]
    if bench.faults:
        parts.insert(1, "**There were errors, so don't trust these figures:**\n\n"
                     + "\n".join(f"- {fault}" for fault in bench.faults))
    return "\n\n".join(parts) + "\n"


def draw(summary, names, directory):
    """Writes the pictures; gives their file names and titles."""
    drawn = []

    def save(name, title, picture):
        (directory / name).write_text(picture)
        drawn.append((name, title))

    title = "CPU per request"
    save("cpu.svg", title, pictures.bars(
        title, bar_groups(summary, names, CPU_OF, ("server_us", "postgres_us")),
        "µs, less is better; full: the server, pale: Postgres; each workload has its own scale", 1))
    title = "Requests per second"
    save("rates.svg", title, pictures.bars(
        title, bar_groups(summary, names, RATES_OF, ("requests_per_s",), best=-1),
        "more is better; closed loop, each workload has its own scale", 0))
    for workload in CURVES_OF:
        if workload in summary:
            title = f"Latency by percentile: {figures.WORKLOADS[workload].title}"
            save(f"latency-{workload}.svg", title, pictures.curves(
                title, "ms, less is better; both axes are logarithmic",
                {name: {key: value / 1000 for key, value
                        in summary[workload][name]["percentiles_us"].items()}
                 for name in names if name in summary[workload]}))
    return drawn


def bar_groups(summary, names, workloads, keys, best=1):
    """Heading → rows of (server, the medians of these figures), least first or, with -1, most."""
    groups = {}
    for workload in workloads:
        rows = [(name, [figures.median(summary, workload, name, key) for key in keys])
                for name in names if name in summary.get(workload, {})]
        if rows:
            groups[figures.WORKLOADS[workload].title] = sorted(
                rows, key=lambda row: best * sum(row[1]))
    return groups
