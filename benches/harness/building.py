"""Builds everything that scripts/bench runs: Pinion, its peers and the tools that no system has."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from servers import PINION, ROOT, Fault

OHA_VERSION = "1.16.0"
OHA = ROOT / "target/peers/tools/bin/oha"
VENV = ROOT / "target/peers/venv"
REQUIREMENTS = ROOT / "benches/peers/fastapi/requirements.txt"
PACKAGES = {  # where a command starts so, this manifest is built into that directory
    "target/release/": ("Cargo.toml", "target"),
    "target/peers/release/": ("benches/peers/Cargo.toml", "target/peers"),
}


def build(commands, with_oha):
    """Builds what the commands start with; what is up to date costs a moment."""
    programs = [shlex.split(command)[0] for command in commands.values()] + [PINION]
    for prefix, (manifest, target) in PACKAGES.items():
        if any(program.startswith(prefix) for program in programs):
            run(["cargo", "build", "--release", "--locked", "--manifest-path", manifest,
                 "--target-dir", target], f"{manifest} does not build")
    if any(program.startswith("target/peers/venv/") for program in programs):
        make_venv()
    if with_oha:
        install_oha()


def install_oha():
    """No distribution has oha. Its TLS goes unused, but without that it does not build."""
    if OHA.exists() and oha_version() == OHA_VERSION:
        return
    tools = OHA.parent.parent
    run(["cargo", "install", "oha", "--version", OHA_VERSION, "--locked",
         "--root", str(tools), "--target-dir", str(tools / "build")], "oha does not build")
    shutil.rmtree(tools / "build")  # some hundred megabytes that nothing needs again


def oha_version():
    return subprocess.run([OHA, "--version"], capture_output=True, text=True).stdout.split()[-1]


def make_venv():
    """The interpreter of the Python peers, made again whenever their requirements change."""
    if not REQUIREMENTS.exists():
        raise Fault(f"{relative(REQUIREMENTS)} is missing: leave fastapi out with --only")
    stamp = VENV / "requirements.txt"
    if stamp.exists() and stamp.read_bytes() == REQUIREMENTS.read_bytes():
        return
    run([sys.executable, "-m", "venv", "--clear", str(VENV)], "a Python environment can't be made")
    run([str(VENV / "bin/pip"), "install", "--quiet", "--disable-pip-version-check",
         "--requirement", str(REQUIREMENTS)], f"{relative(REQUIREMENTS)} can't be installed")
    shutil.copyfile(REQUIREMENTS, stamp)


def require_programs(commands):
    """A program or script of ours that is not there is a fault before anything is started."""
    for name, command in commands.items():
        for word in shlex.split(command):
            if word.startswith(("target/", "benches/")) and not (ROOT / word).exists():
                raise Fault(f"{name}: {word} is missing: build it or leave it out with --only")


def run(command, complaint):
    if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode != 0:
        raise Fault(complaint)


def relative(path):
    return Path(path).relative_to(ROOT)
