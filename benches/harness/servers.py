"""Builds, starts and stops the servers that scripts/bench measures, and no other process."""

import contextlib
import ctypes
import dataclasses
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = {
    "pinion": "target/release/pinion demo --listen {listen} --cores {core} --data-dir {data_dir}",
    "axum": "target/peers/release/axum_deadpool --listen {listen} --core {core}"
    " --database-url {database_url}",
    "floor": "target/peers/release/floor --listen {listen} --core {core}"
    " --answer-bytes {answer_bytes}",
}
PACKAGES = {  # where a command starts so, this manifest is built into that directory
    "target/release/": ("Cargo.toml", "target"),
    "target/peers/": ("benches/peers/Cargo.toml", "target/peers"),
}
FLOOR_ANSWER_BYTES_MIN = 123  # of src/bin/floor.rs
START_SECONDS_MAX = 300  # the first start of the demo makes a cluster and loads its data
STOP_SECONDS_MAX = 20
ORPHAN_SECONDS_MAX = 5  # for each of three signals
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Fault(Exception):
    """What ends the run with one readable line."""


@dataclasses.dataclass
class Server:
    """A server that was started and answers on 127.0.0.1."""

    name: str
    port: int
    process: subprocess.Popen
    log: Path
    paths: list = dataclasses.field(default_factory=lambda: ["/health"])
    postmaster: int | None = None


def build(commands):
    for prefix, (manifest, target) in PACKAGES.items():
        if any(command.startswith(prefix) for command in commands.values()):
            command = ["cargo", "build", "--release", "--locked", "--manifest-path", manifest,
                       "--target-dir", target]
            if subprocess.run(command, cwd=ROOT).returncode != 0:
                raise Fault(f"{manifest} does not build")


def start_all(commands, core, database_url, stack):
    """Starts every server, in the order in which they need facts of each other.

    The database is that of `database_url` or else the first that a server announces; a server that
    announces its own uses that. Gives the servers in the order of `commands`; `stack` stops them.
    """
    directory = Path(stack.enter_context(
        tempfile.TemporaryDirectory(prefix="pinion-bench-", ignore_cleanup_errors=True)))
    directory.chmod(0o755)  # Postgres may run as another user
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    stack.callback(end_orphans)
    facts = {"core": str(core), "data_dir": str(directory / "demo"), "database_url": database_url}
    servers = {}

    def needs(item):
        return "{answer_bytes}" in item[1], "{database_url}" in item[1]

    for name, command in sorted(commands.items(), key=needs):
        if "{database_url}" in command and not facts["database_url"]:
            raise Fault(f"{name} needs a database: let pinion run too or give --database-url")
        server = start(name, command, facts, directory, stack)
        if "answer_bytes" not in facts:
            length = fetch(server.port, "/health")[1]
            facts["answer_bytes"] = str(max(length, FLOOR_ANSWER_BYTES_MIN))
        announced = re.search(r"^postgres: (postgres(?:ql)?://\S+)", server.log.read_text(), re.M)
        facts["database_url"] = facts["database_url"] or (announced and announced[1])
        server.postmaster = find_postmaster(announced[1] if announced else facts["database_url"])
        servers[name] = server
    return [servers[name] for name in commands]


def start(name, command, facts, directory, stack):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    defaults = {"port": str(port), "listen": f"127.0.0.1:{port}",
                "answer_bytes": str(FLOOR_ANSWER_BYTES_MIN)}
    for key, value in {**defaults, **facts}.items():
        command = command.replace("{" + key + "}", shlex.quote(value or ""))
    log = directory / f"{name}.log"
    print(f"starting {name}: {command}", file=sys.stderr)
    try:
        with log.open("w") as output:  # a session of its own: Ctrl-C must reach only scripts/bench
            process = subprocess.Popen(shlex.split(command), cwd=ROOT, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output, start_new_session=True)
    except OSError as error:
        raise Fault(f"{name}: {error}") from error
    stack.callback(stop, name, process)
    server = Server(name, port, process, log)
    wait_until_ready(server)
    if any(fetch(port, f"/users/{user_id}")[0] == 200 for user_id in range(1, 20)):
        server.paths.append("/users/{random}")
    return server


def wait_until_ready(server):
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        require_alive(server)
        with contextlib.suppress(OSError, ValueError):
            # /ready is 503 while the database is not there yet; who has no such path is ready.
            if fetch(server.port, "/health")[0] == 200 and fetch(server.port, "/ready")[0] != 503:
                return
        time.sleep(0.1)
    raise Fault(f"{server.name} is not ready after {START_SECONDS_MAX} s\n{log_tail(server)}")


def require_alive(server):
    if server.process.poll() is not None:
        raise Fault(f"{server.name} ended with {server.process.returncode}\n{log_tail(server)}")


def log_tail(server):
    return "\n".join(server.log.read_text(errors="replace").splitlines()[-10:])


def fetch(port, path):
    """Status and length in bytes of the whole answer, asked for as wrk asks for it."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        answer, length = b"", None
        while length is None or len(answer) < length:
            piece = stream.recv(65536)
            if not piece:
                raise ValueError("the answer is cut off")
            answer += piece
            head, blank_line, _ = answer.partition(b"\r\n\r\n")
            if blank_line and length is None:
                field = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                length = len(head) + len(blank_line) + int(field[1] if field else 0)
    return int(answer.split(b" ", 2)[1]), length


def find_postmaster(database_url):
    """Process id of the Postgres behind a URL, from the lock file beside its unix socket."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(database_url or "").query)
    directory, port = query.get("host", [""])[0], query.get("port", ["5432"])[0]
    try:
        return int(Path(directory, f".s.PGSQL.{port}.lock").read_text().split()[0])
    except (OSError, ValueError):
        return None


def stop(name, process):
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        print(f"scripts/bench: {name} does not stop, so it is killed", file=sys.stderr)
        process.kill()
        process.wait()


def end_orphans():
    """Ends what a server left behind, a Postgres say: orphans become children of the subreaper."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):  # SIGINT: a fast shutdown
        deadline = time.monotonic() + ORPHAN_SECONDS_MAX
        orphans = process_tree(os.getpid())[1:]
        if orphans:
            print(f"scripts/bench: {signal.Signals(number).name} to what a server left behind: "
                  f"{len(orphans)} processes", file=sys.stderr)
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while time.monotonic() < deadline:
            try:
                os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            time.sleep(0.02)


def process_tree(root):
    """A process and all that descend from it."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text().rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found
