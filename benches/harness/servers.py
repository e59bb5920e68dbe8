"""Starts and stops the servers that scripts/bench measures, and no other process."""

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
FLOOR = "floor"
PINION = "target/release/pinion"
PINION_SERVES = (PINION + " serve --routes {routes} --database-url {database_url}"
                 " --listen {listen} --cores {core}")
PEER_FLAGS = " --listen {listen} --core {core} --database-url {database_url}"
COMMANDS = {
    "pinion": PINION_SERVES,
    # The same routes, each with `batch = false`: see unbatched() below.
    "pinion_unbatched": PINION_SERVES.replace("{routes}", "{routes_unbatched}"),
    "may_minihttp": "target/peers/release/may_minihttp" + PEER_FLAGS,
    "ntex": "target/peers/release/ntex" + PEER_FLAGS,
    "actix": "target/peers/release/actix" + PEER_FLAGS,
    "xitca": "target/peers/release/xitca_web" + PEER_FLAGS,
    "axum": "target/peers/release/axum_deadpool" + PEER_FLAGS,
    "fastapi": "target/peers/venv/bin/python benches/peers/fastapi/server.py" + PEER_FLAGS,
    FLOOR: "target/peers/release/floor --listen {listen} --core {core}"
    " --answer-bytes {answer_bytes}",
}
# Who keeps the database, unless --database-url names one. It serves nobody meanwhile.
KEEPER = PINION + " demo --listen {listen} --cores {core} --data-dir {data_dir}"
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
    postmaster: int | None = None


class Fleet:
    """The servers of one run. `stack` stops whatever it has started."""

    def __init__(self, commands, database_url, keeper_core, stack):
        """Starts the keeper of the database, if any of the commands wants one and none is given."""
        self.commands, self.stack, self.started = commands, stack, 0
        self.directory = Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="pinion-bench-", ignore_cleanup_errors=True)))
        self.directory.chmod(0o755)  # Postgres may run as another user
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        stack.callback(end_orphans)
        self.facts = {"data_dir": str(self.directory / "demo"), "database_url": database_url,
                      "answer_bytes": str(FLOOR_ANSWER_BYTES_MIN)}
        if any("{routes" in command for command in commands.values()):
            self.write_routes()
        if not database_url and any("{database_url}" in text for text in commands.values()):
            self.launch("keeper", KEEPER, [keeper_core], stack)

    def start(self, name, cores, stack=None):
        """Starts one server on these cores; it ends with `stack`, or else with the fleet's."""
        return self.launch(name, self.commands[name], cores, stack or self.stack)

    def launch(self, name, command, cores, stack):
        server = self.spawn(name, command, cores, stack)
        wait_until_ready(server)
        announced = re.search(r"^postgres: (postgres(?:ql)?://\S+)", server.log.read_text(), re.M)
        self.facts["database_url"] = self.facts["database_url"] or (announced and announced[1])
        server.postmaster = find_postmaster(
            announced[1] if announced else self.facts["database_url"])
        return server

    def spawn(self, name, command, cores, stack):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        facts = {**self.facts, "port": str(port), "listen": f"127.0.0.1:{port}",
                 "core": ",".join(map(str, cores))}
        for key, value in facts.items():
            command = command.replace("{" + key + "}", shlex.quote(value or ""))
        self.started += 1
        log = self.directory / f"{self.started}-{name}.log"
        try:
            # Several servers run at a time, and the default of the admin port is one port.
            environment = {**os.environ, "PINION_ADMIN": "off"}
            with log.open("w") as output:  # its own session: Ctrl-C must reach only scripts/bench
                process = subprocess.Popen(
                    shlex.split(command), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=output, start_new_session=True, env=environment)
        except OSError as error:
            raise Fault(f"{name}: {error}") from error
        stack.callback(stop, name, process)
        return Server(name, port, process, log)

    def write_routes(self):
        printed = subprocess.run([ROOT / PINION, "demo", "--print-routes"], capture_output=True,
                                 text=True)
        if printed.returncode != 0:
            raise Fault(f"pinion demo --print-routes: {printed.stderr.strip()}")
        routes = unguarded(printed.stdout)
        for key, text in (("routes", routes), ("routes_unbatched", unbatched(routes))):
            path = self.directory / f"{key}.toml"
            path.write_text(text)
            self.facts[key] = str(path)


def unguarded(routes):
    """The routes file without what the peers have nothing of: CORS, rate limits, tokens, tenants."""
    tables = r"^\[(cors|rate_limit\.\w+|auth|auth\.\w+)\]\n(?:(?!\[).*\n)*"
    routes = re.sub(tables, "", routes, flags=re.M)
    return re.sub(r"^(auth|database_role|settings|rate_limit) = .*\n", "", routes, flags=re.M)


def unbatched(routes):
    """The routes file with batching off in every route, whatever it said of it."""
    routes = re.sub(r"^batch *=.*\n", "", routes, flags=re.M)
    return re.sub(r"^\[\[route\]\]$", "[[route]]\nbatch = false", routes, flags=re.M)


def wait_until_ready(server):
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        require_alive(server)
        with contextlib.suppress(OSError, ValueError):
            # /ready is 503 while the database is not there yet; who has no such path is ready.
            if fetch(server.port, "/health")[0] == 200 and fetch(server.port, "/ready")[0] != 503:
                return
        time.sleep(0.02)
    raise Fault(f"{server.name} is not ready after {START_SECONDS_MAX} s\n{log_tail(server)}")


def require_alive(server):
    if server.process.poll() is not None:
        raise Fault(f"{server.name} ended with {server.process.returncode}\n{log_tail(server)}")


def log_tail(server):
    return "\n".join(server.log.read_text(errors="replace").splitlines()[-10:])


def fetch(port, path):
    """Status, whole length in bytes and body of an answer, asked for as wrk asks for it."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        answer, length = b"", None
        while length is None or len(answer) < length:
            piece = stream.recv(65536)
            if not piece:
                raise ValueError("the answer is cut off")
            answer += piece
            head, blank_line, body = answer.partition(b"\r\n\r\n")
            if blank_line and length is None:
                field = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                length = len(head) + len(blank_line) + int(field[1] if field else 0)
    return int(answer.split(b" ", 2)[1]), length, body


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
