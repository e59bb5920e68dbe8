"""Starts app.py under Uvicorn (uvloop, httptools), one worker process per core.

Run it with the interpreter of an environment that has requirements.txt; ../README.md says how.
"""

import argparse
import os
import socket

import uvicorn


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--listen", default="127.0.0.1:8106", metavar="ADDR:PORT", help="(%(default)s)")
    add("--core", default="0", metavar="N[,M…]",
        help="cores; one worker is pinned to each (%(default)s)")
    add("--database-url", required=True, metavar="URL", help="database of the shop")
    add("--pool-size", default="10", metavar="N", help="connections that a worker keeps open (10)")
    add("--max-overflow", default="10", metavar="N", help="connections that it may add (10)")
    arguments = parser.parse_args()
    # Uvicorn starts workers afresh, so the environment is what reaches them.
    os.environ |= {"DATABASE_URL": arguments.database_url,
                   "LISTEN": arguments.listen, "CORES": arguments.core,
                   "POOL_SIZE": arguments.pool_size, "MAX_OVERFLOW": arguments.max_overflow}
    os.sched_setaffinity(0, cores())  # the supervisor, which does next to nothing
    host, _, port = arguments.listen.rpartition(":")
    uvicorn.run(
        "server:pinned_app", factory=True, host=host, port=int(port),
        workers=len(cores()), loop="uvloop", http="httptools",
        access_log=False, log_level="warning",
        backlog=65535, limit_concurrency=1000, timeout_keep_alive=65,
    )


def pinned_app():
    """The application, once this worker has its core."""
    os.sched_setaffinity(0, {claim_core()})
    from app import app
    return app


def claim_core():
    """The first core that no sibling has: its name is taken as long as this process lives."""
    global claim
    for core in cores():
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0pinion-peer-fastapi-{os.environ['LISTEN']}-{core}")
            return core
        except OSError:
            claim.close()
    raise RuntimeError("more workers than cores")


def cores():
    return [int(core) for core in os.environ["CORES"].split(",")]


if __name__ == "__main__":
    main()
