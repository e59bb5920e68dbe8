"""Measures Pinion beside other servers, all in one run: same machine, same minute, same load.

  scripts/bench                 everything; writes tables and pictures to benches/runs/
  scripts/bench --quick         a few loads, within three minutes
  scripts/bench --syscalls      system calls per request
  scripts/bench --soak          10 million requests; fails when resident memory grows

Any other server joins with --server NAME='COMMAND'; in its command stand {listen} (address:port),
{port}, {core}, {database_url}, {data_dir}, {routes}, {routes_unbatched} and {answer_bytes}. Every
server listens on 127.0.0.1. benches/README.md explains each figure.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import machine
import modes
import publish
from building import build, require_programs
from measure import QUICK_SECONDS_MAX, Bench, compare, planned_seconds
from servers import COMMANDS, ROOT, Fault, Fleet
from workloads import ALL, QUICK, chosen

PACKAGES = {"wrk": "wrk", "strace": "strace", "taskset": "util-linux"}
SYSCALL_WORKLOADS = "health-64,health-256,users-64,users-256"
DURATION, DURATION_QUICK = 3, 1
ROUNDS, ROUNDS_QUICK = 5, 2


def main():
    arguments = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    stack = contextlib.ExitStack()
    try:
        workloads = chosen(arguments.workloads)
        with_oha = any(workload.share for workload in workloads)
        if arguments.build:
            build(arguments.commands, with_oha)
        require_programs(arguments.commands)
        require_tools(arguments)
        return run(arguments, workloads, stack)
    except KeyboardInterrupt:
        return 130
    except Fault as fault:
        print(f"\nscripts/bench: {fault}", file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # nothing may interrupt the clearing up
        stack.close()


def run(arguments, workloads, stack):
    fleet = Fleet(arguments.commands, arguments.database_url, arguments.load_cores[-1], stack)
    bench = Bench(fleet, list(arguments.commands), workloads, arguments.rounds,
                  arguments.duration, arguments.users, arguments.cores, arguments.load_cores)
    if arguments.syscalls:
        figures = {"runs": modes.count_system_calls(bench)}
    elif arguments.soak:
        figures = {"samples": modes.soak(bench, arguments.soak)}
    else:
        while arguments.quick and bench.rounds > 1 and planned_seconds(bench) > QUICK_SECONDS_MAX:
            bench.rounds -= 1
        runs = compare(bench)
        figures = publish.publish(bench, runs, directory_of(arguments))
    print("\nerrors: none" if not bench.faults else "\nERRORS, so don't trust the figures:")
    print("\n".join(f"  {fault}" for fault in bench.faults))
    if arguments.json:
        write_json(arguments.json, {"faults": bench.faults, **figures})
    return 1 if bench.faults else 0


def write_json(path, figures):
    path.write_text(json.dumps(figures, indent=1) + "\n")


def directory_of(arguments):
    """Of a whole run by date and machine; what is only a part never takes that place."""
    name = f"{machine.today()}-{machine.slug()}"
    if arguments.quick:
        name += "-quick"
    elif arguments.partial:
        name += "-partial"
    return ROOT / "benches/runs" / name


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    usable = sorted(os.sched_getaffinity(0))
    add = parser.add_argument
    add("--quick", action="store_true",
        help=f"ends within three minutes: {QUICK}, one or two rounds of {DURATION_QUICK} s")
    add("--syscalls", action="store_true", help="count system calls per request with strace")
    add("--soak", type=positive, nargs="?", const=10_000_000, metavar="N",
        help="send N requests (10 million) and watch the resident memory")
    add("--workloads", metavar="NAMES", help="only these, patterns too: users-*,open-80; there are "
        + ", ".join(workload.name for workload in ALL))
    add("--only", metavar="NAMES", help="only these servers, for example pinion,floor; there are "
        + ", ".join(COMMANDS))
    add("--rounds", type=positive, help=f"rounds in which the servers take turns ({ROUNDS})")
    add("--duration", type=positive, metavar="SECONDS",
        help=f"length of one counted load ({DURATION})")
    add("--server", action="append", default=[], metavar="NAME=COMMAND",
        help="measure this server too, or in place of the built-in one of that name")
    add("--pinion-flags", default="", metavar="FLAGS",
        help="added to the commands of pinion and pinion_unbatched")
    add("--database-url", metavar="URL",
        help="a Postgres that has the shop's tables (that of a private pinion demo)")
    add("--users", type=positive, default=100_000, help="users in the database (%(default)s)")
    add("--cores", type=core_list, default=usable[:2], metavar="LIST",
        help="the servers' cores; most loads use the first alone (the first two)")
    add("--load-cores", type=core_list, default=usable[2:][-2:] or usable[-1:], metavar="LIST",
        help="the load generator's cores (the last two that the servers leave)")
    add("--no-build", dest="build", action="store_false", help="use the binaries that are there")
    add("--json", type=Path, metavar="FILE", help="write every single figure to FILE too")
    arguments = parser.parse_args()
    arguments.partial = any((arguments.workloads, arguments.only, arguments.server))
    arguments.commands = commands_of(arguments, parser)
    quick = arguments.quick
    arguments.rounds = arguments.rounds or (ROUNDS_QUICK if quick else ROUNDS)
    arguments.duration = arguments.duration or (DURATION_QUICK if quick else DURATION)
    arguments.workloads = arguments.workloads or (
        SYSCALL_WORKLOADS if arguments.syscalls else QUICK if quick else "*")
    return arguments


def commands_of(arguments, parser):
    """The command of each server that takes part, by name."""
    flags = arguments.pinion_flags
    commands = {name: f"{command} {flags}" if name.startswith("pinion") else command
                for name, command in COMMANDS.items()}
    for text in arguments.server:
        name, equals, command = text.partition("=")
        if not (name and equals and command):
            parser.error(f"--server {text}: NAME=COMMAND is wanted")
        commands[name] = command
    names = arguments.only.split(",") if arguments.only else list(commands)
    if unknown := set(names) - set(commands):
        parser.error(f"--only: no server is called {', '.join(sorted(unknown))}")
    return {name: commands[name] for name in dict.fromkeys(names)}


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1 is wanted")
    return value


def core_list(text):
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError("a list such as 0,1 is wanted") from error


def require_tools(arguments):
    tools = ["wrk", "taskset"] + ["strace"] * arguments.syscalls
    missing = [f"{tool} (package {PACKAGES[tool]})" for tool in tools if not shutil.which(tool)]
    if missing:
        raise Fault(f"not found: {', '.join(missing)}")


if __name__ == "__main__":
    sys.exit(main())
