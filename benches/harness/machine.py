"""What the figures were measured on and with: hardware, kernel, versions, commit."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

from building import OHA, REQUIREMENTS
from servers import ROOT

# The crate that a peer is made of, by its name in benches/peers/Cargo.lock.
CRATES = {"axum": "axum", "actix": "actix-web", "ntex": "ntex", "may_minihttp": "may_minihttp",
          "xitca": "xitca-http"}
PYTHON = ("fastapi", "uvicorn", "asyncpg")


def facts(names, cores, load_cores, postmaster):
    """All of it, by the words under which it is shown."""
    found = {
        "date": today(),
        "commit": commit(),
        "CPU": f"{cpu_model()}, {os.cpu_count()} cores",
        "memory": f"{memory_gib():.0f} GiB",
        "kernel": platform.release(),
        "server cores": ",".join(map(str, cores)),
        "load cores": ",".join(map(str, load_cores)),
        "Postgres": postgres_version(postmaster),
        "rustc": output(["rustc", "--version"], r"rustc (\S+)"),
        "wrk": output(["wrk", "--version"], r"wrk (\S+)"),
        "oha": output([str(OHA), "--version"], r"oha (\S+)"),
    }
    lock = (ROOT / "benches/peers/Cargo.lock").read_text()
    for name in names:
        if name in CRATES:
            pattern = rf'name = "{CRATES[name]}"\nversion = "(.*)"'
            found[name] = f"{CRATES[name]} {first(pattern, lock) or 'unknown'}"
        elif name == "fastapi":
            wanted = REQUIREMENTS.read_text() if REQUIREMENTS.exists() else ""
            found[name] = ", ".join([f"Python {platform.python_version()}"] + [
                f"{package} {first(rf'(?mi)^{package}[^=]*==([0-9.]+)', wanted)}"
                for package in PYTHON])
    return found


def today():
    return datetime.date.today().isoformat()


def slug():
    """The machine's name in a directory: its CPU, as host names say nothing to others."""
    words = re.sub(r"\(.*?\)|processor|cpu|@.*", " ", cpu_model(), flags=re.I)
    return "-".join([*re.findall(r"[a-z0-9]+", words.lower()), f"{os.cpu_count()}-cores"])


def cpu_model():
    text = Path("/proc/cpuinfo").read_text()
    return first(r"model name\s*: (.*)", text) or platform.machine()


def memory_gib():
    return int(first(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())) / 2**20


def postgres_version(postmaster):
    """That of the server itself, which need not be the one in the search path."""
    return output([f"/proc/{postmaster}/exe", "--version"], r"([0-9.]+)")


def commit():
    """The commit, marked when the tree has changes on top."""
    found = output(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"], r"(\S+)")
    return found + (" and changes" if output(
        ["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"],
        r"(\S)") != "unknown" else "")


def output(command, pattern):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return first(pattern, done.stdout + done.stderr) or "unknown"


def first(pattern, text):
    match = re.search(pattern, text)
    return match[1].strip() if match else ""
