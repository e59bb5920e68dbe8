"""The tables: the same Markdown on standard output and in the run's README.md."""

from figures import WORKLOADS, median, peers_of
from measure import KEPT_UP
from servers import FLOOR

SHORT = 0.9  # of a core: a generator that is busier than this sets the rate

COLUMNS = {  # figure → title, digits, factor, whether the spread is shown too
    "server_us": ("server µs", 2, 1, False), "postgres_us": ("Postgres µs", 2, 1, False),
    "cost_us": ("sum µs", 2, 1, True),
    "cost_to_floor": ("sum ×floor", 2, 1, True), "cost_us_to_best": ("sum ×best peer", 2, 1, True),
    "cost_to_base": ("sum ×base", 2, 1, True), "base_to_floor": ("…over floor's", 2, 1, False),
    "requests_per_s": ("requests/s", 0, 1, True),
    "requests_per_s_to_best": ("rate ×best peer", 2, 1, True),
    "kept_up": ("% of asked", 1, 100, False), "p50_ms": ("p50 ms", 3, 1, False),
    "p99_ms": ("p99 ms", 2, 1, True), "p999_ms": ("p99.9 ms", 2, 1, False),
    "rss_mib": ("RSS MiB", 1, 1, False), "idle_bytes": ("bytes/idle", 0, 1, True),
    "idle_open": ("idle open", 0, 1, False), "load_us": ("load µs", 2, 1, False),
    "load_busy": ("load busy %", 0, 100, False),
}
WITHOUT_POSTGRES = {"postgres_us", "server_us"}  # the sum is the server's
OVERVIEW = {
    "CPU µs per request, server + Postgres": ("cost_us", 2),
    "requests/s": ("requests_per_s", 0),
    "p99 in ms": ("p99_ms", 3),
}


def overview(summary, names):
    """One table for each of the main figures: a row per workload, a column per server."""
    for title, (key, digits) in OVERVIEW.items():
        rows = [[name] + [number(median(summary, name, server, key), digits) for server in names]
                for name in summary]
        yield f"### {title}\n\n" + table(["", *names], rows)


def details(summary, names):
    """One table for each workload: a row per server, every figure with its spread."""
    for name, servers in summary.items():
        workload = WORKLOADS[name]
        columns = [key for key in COLUMNS if any(key in figures for figures in servers.values())
                   and (workload.uses_postgres or key not in WITHOUT_POSTGRES)]
        rows = [[server] + [spread(servers[server].get(key), *COLUMNS[key][1:])
                            for key in columns] for server in names if server in servers]
        yield "\n\n".join(filter(None, [
            f"### {name}: {workload.title}",
            table([""] + [COLUMNS[key][0] for key in columns], rows),
            remark(workload, servers)]))


def remark(workload, servers):
    """What has to be known to read a table right."""
    remarks = []
    if workload.share:
        asked = next(iter(servers.values()))["asked_per_s"]["median"]
        if not workload.own_rate:
            remarks.append(f"Asked for: {asked:,.0f} requests/s of everyone.")
        short = [server for server, figures in servers.items()
                 if figures["kept_up"]["median"] < KEPT_UP]
        if short:
            remarks.append(f"Can't keep up: {', '.join(short)}; their latencies grow for as long "
                           "as the load lasts.")
    busy = [server for server, figures in servers.items()
            if figures["load_busy"]["median"] > SHORT]
    if busy and not workload.share:
        remarks.append(f"The load generator is at its limit with {', '.join(busy)}: their rates "
                       "are the generator's, the CPU per request is their own.")
    return " ".join(remarks)


def spread(figure, digits, factor, whole):
    """Median, and in brackets the least and the most of the rounds when it is `whole`."""
    if figure is None:
        return "–"
    middle, least, most = (number(figure[key] * factor, digits)
                           for key in ("median", "min", "max"))
    return middle if figure["rounds"] == 1 or not whole else f"{middle} ({least}–{most})"


def number(value, digits):
    return "–" if value is None else f"{value:,.{digits}f}"


def table(titles, rows):
    """A Markdown table whose columns also line up as plain text; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(titles, *rows)]
    lines = ["| " + " | ".join(
        cell.ljust(width) if at == 0 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths))) + " |" for row in [titles, *rows]]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if at == 0 else ":")
                          for at, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def machine(facts):
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def notes(bench, names):
    """What holds for the whole run."""
    lines = [f"{bench.rounds} rounds in which the servers take turns, {bench.duration} s for each "
             "load; medians, in brackets the least and the most. Ratios are made within a round."]
    if FLOOR in names:
        lines.append("The floor is an epoll loop with a fixed answer; it looks nothing up.")
    if peers := peers_of(names):
        lines.append(f"Peers: {', '.join(peers)}.")
    if not bench.fleet.facts["database_url"]:
        lines.append("No database took part.")
    shared = [workload.name for workload in bench.workloads if workload.cores > 1
              and set(bench.cores[:workload.cores]) & set(bench.load_cores_of(workload))]
    if shared:
        lines.append(f"In {', '.join(shared)} the load generator shares the servers' cores, as the "
                     "machine has no others: rates and latencies say little there, the CPU per "
                     "request is what counts.")
    if set(bench.cores[:1]) & set(bench.load_cores):
        lines.append("Server and load generator share a core: rates and latencies say little.")
    return "\n".join(lines)
