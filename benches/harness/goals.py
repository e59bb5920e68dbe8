"""Pinion's goals, each with what was measured. Nothing here knows the outcome."""

import dataclasses
import operator

from figures import median
from measure import KEPT_UP
from report import table
from workloads import IDLE_CONNECTIONS

IS = {"≤": operator.le, "<": operator.lt, "≥": operator.ge, ">": operator.gt}
UNBATCHED = "pinion_unbatched"


@dataclasses.dataclass(frozen=True)
class Goal:
    """`figure` of `server` under `workload` is to stand in this relation to the limit.

    A goal with an alternative is met when either of the two is.
    """

    text: str
    workload: str
    figure: str
    relation: str
    limit: float
    server: str = "pinion"
    unit: str = "×"
    alternative: "Goal | None" = None


def goals():
    """In the order in which they are shown."""
    yield from health_goals()
    yield from users_goals()
    for name in ("agents-64", "products-64"):
        yield Goal("server + Postgres CPU to the best peer's", name, "cost_us_to_best", "≤", 0.8)
    yield Goal("requests/s, or else CPU, to the best peer's", "pipelined-64",
               "requests_per_s_to_best", ">", 1, alternative=Goal(
                   "CPU to the best peer's", "pipelined-64", "cost_us_to_best", "<", 1))
    for name in ("open-50", "open-80"):
        yield Goal("requests/s to those asked for", name, "kept_up", "≥", KEPT_UP)
        yield Goal("p99 to the best peer's", name, "p99_ms_to_best", "<", 1)
        yield Goal("p99.9 to the best peer's", name, "p999_ms_to_best", "<", 1)
    for name in ("single-health", "single-users"):
        yield Goal("p50 to the best peer's", name, "p50_ms_to_best", "<", 1)
    for name in ("two-cores-health", "two-cores-users"):
        yield Goal("CPU a request to that on one core", name, "cost_to_base", "≤", 1.1)
        # What sharing the cores with the load generator costs, it costs the floor as well.
        yield Goal("the same, over the floor's", name, "base_to_floor", "≤", 1.1)
    yield Goal("CPU to that of 64 connections", "idle-10000", "cost_to_base", "≤", 1.3)
    yield Goal("resident memory of an idle connection", "idle-10000", "idle_bytes", "≤", 6_000,
               unit=" bytes")
    yield Goal("idle connections still open", "idle-10000", "idle_open", "≥", IDLE_CONNECTIONS,
               unit="")


def health_goals():
    for name in ("health-64", "health-256"):
        yield Goal("server CPU to the floor's", name, "server_to_floor", "≤", 1.1)
        yield Goal("server CPU to the best peer's", name, "cost_us_to_best", "<", 1)


def users_goals():
    for name in ("users-64", "users-128", "users-256"):
        yield Goal("server + Postgres CPU to the floor's", name, "cost_to_floor", "≤", 1.6)
        yield Goal("server + Postgres CPU to the best peer's", name, "cost_us_to_best", "≤", 0.4)
        yield Goal("requests/s to the best peer's", name, "requests_per_s_to_best", "≥", 2.5)
        yield Goal("requests/s to FastAPI's", name, "rate_to_fastapi", "≥", 60)
        yield Goal("unbatched: server + Postgres CPU to the best peer's", name, "cost_us_to_best",
                   "≤", 0.8, server=UNBATCHED)


def judge(summary):
    """Each goal with its median and whether it is met: True, False, or None when not measured."""
    judged = []
    for goal in goals():
        value = median(summary, goal.workload, goal.server, goal.figure)
        met = None if value is None else IS[goal.relation](value, goal.limit)
        if met is False and (other := goal.alternative):
            instead = median(summary, other.workload, other.server, other.figure)
            if instead is not None and IS[other.relation](instead, other.limit):
                goal, value, met = other, instead, True
        judged.append({"workload": goal.workload, "goal": goal.text,
                       "limit": f"{goal.relation} {goal.limit:,g}{goal.unit}",
                       "value": value, "unit": goal.unit, "met": met})
    return judged


def as_text(judged, workloads):
    """The goals table of these workloads, what it comes to, and what was left out."""
    words = {True: "met", False: "**not met**", None: "not measured"}
    part = [goal for goal in judged if goal["workload"] in workloads]
    out = dict.fromkeys(goal["workload"] for goal in judged if goal not in part)
    counts = [sum(goal["met"] is met for goal in part) for met in words]
    return "\n\n".join(filter(None, [
        part and table(["workload", "goal", "limit", "measured", ""], [
            [goal["workload"], goal["goal"], goal["limit"], shown(goal), words[goal["met"]]]
            for goal in part]),
        f"{counts[0]} met, {counts[1]} not met, {counts[2]} not measured.",
        out and f"No part of this run, though there are goals for them: {', '.join(out)}."]))


def shown(goal):
    if goal["value"] is None:
        return "–"
    digits = 2 if goal["unit"] == "×" else 0
    return f"{goal['value']:,.{digits}f}{goal['unit']}"
