"""The workloads of scripts/bench: what is sent, over how many connections, to how many cores."""

import dataclasses
import fnmatch

from servers import FLOOR, Fault

HEALTH, USERS = "/health", "/users/{random}"
AGENTS, PRODUCTS = "/api/v1/agents", "/products?limit=50&after={random}"
SCRIPTS = {HEALTH: "health.lua", USERS: "users.lua", AGENTS: "agents.lua",
           PRODUCTS: "products.lua"}
PIPELINED, PIPELINE_DEPTH = "pipelined.lua", 16
IDLE_CONNECTIONS = 9_900
OPEN_CONNECTIONS = 128  # more than a server needs that answers within a few milliseconds


@dataclasses.dataclass(frozen=True)
class Workload:
    """One load. With `share` it is an open loop at that part of the saturation of `rate_of`."""

    name: str
    path: str
    connections: int
    cores: int = 1
    script_name: str = ""  # in place of the path's own
    idle: int = 0
    share: float = 0
    own_rate: bool = False
    base: str = ""  # the workload of the same round that this one is set against

    @property
    def script(self):
        return self.script_name or SCRIPTS[self.path]

    @property
    def uses_postgres(self):
        return self.path != HEALTH

    @property
    def title(self):
        if self.share:
            whose = "its own" if self.own_rate else "pinion's"
            return f"{self.path}, open loop at {self.share:.0%} of {whose} saturation"
        if self.idle:
            return (f"{self.path}, {self.connections} active connections of "
                    f"{self.connections + self.idle:,}")
        text = f"{self.path}, {self.connections} connection" + "s" * (self.connections > 1)
        text += f", {PIPELINE_DEPTH} requests deep" * (self.script == PIPELINED)
        return text + (f", {self.cores} cores" if self.cores > 1 else "")


ALL = [
    Workload("health-64", HEALTH, 64),
    Workload("health-256", HEALTH, 256),
    Workload("users-64", USERS, 64),
    Workload("users-256", USERS, 256),
    Workload("agents-64", AGENTS, 64),
    Workload("products-64", PRODUCTS, 64),
    Workload("pipelined-64", HEALTH, 64, script_name=PIPELINED),
    Workload("single-health", HEALTH, 1),
    Workload("single-users", USERS, 1),
    # The one beside the other, so that both see the machine in the same mood.
    Workload("health-128", HEALTH, 128),
    Workload("two-cores-health", HEALTH, 128, cores=2, base="health-128"),
    Workload("users-128", USERS, 128),
    Workload("two-cores-users", USERS, 128, cores=2, base="users-128"),
    Workload("idle-10000", HEALTH, 100, idle=IDLE_CONNECTIONS),
    Workload("open-50", USERS, OPEN_CONNECTIONS, share=0.5),
    Workload("open-80", USERS, OPEN_CONNECTIONS, share=0.8),
    Workload("open-own-50", USERS, OPEN_CONNECTIONS, share=0.5, own_rate=True),
    Workload("open-own-80", USERS, OPEN_CONNECTIONS, share=0.8, own_rate=True),
]
QUICK = "health-64,users-64,pipelined-64,single-users,open-80"

# What a built-in server leaves out; everyone else must answer all paths. The floor's answer is the
# same whatever is asked, so every load can be set against it.
LEAVES_OUT = {"may_minihttp": {USERS, AGENTS, PRODUCTS}}

# Whose configuration allows fewer connections than the idle ones: 1,000, as its users have it.
FEW_CONNECTIONS = ("fastapi",)


def chosen(patterns):
    """The workloads that match one of the comma-separated patterns, in the order of ALL."""
    patterns = patterns.split(",")
    for pattern in patterns:
        if not any(fnmatch.fnmatch(workload.name, pattern) for workload in ALL):
            names = ", ".join(workload.name for workload in ALL)
            raise Fault(f"--workloads: nothing is called {pattern}; there are {names}")
    return [workload for workload in ALL
            if any(fnmatch.fnmatch(workload.name, pattern) for pattern in patterns)]


def takes_part(name, workload):
    """Whether a server is measured with a load; an open loop on the floor says nothing."""
    if name == FLOOR and workload.share or name in FEW_CONNECTIONS and workload.idle:
        return False
    return workload.path not in LEAVES_OUT.get(name, ())
