"""Compares what the servers answer before anything is timed: the same work or no comparison."""

import decimal
import json

from servers import FLOOR, Fault, fetch
from workloads import AGENTS, HEALTH, LEAVES_OUT, PRODUCTS, USERS

IGNORED = "request_id"  # of a failure: no two answers have the same


def samples(users):
    """Requests by workload path: the first users (some of them deleted), one unknown, pages."""
    return {
        HEALTH: ["/health"],
        USERS: [f"/users/{user_id}" for user_id in (*range(1, 31), users, users + 1)],
        AGENTS: ["/api/v1/agents"],
        PRODUCTS: [f"/products?limit=50&after={after}" for after in (0, 24_680, 49_975, 60_000)],
    }


def require_equal(servers, users, paths):
    """Fetches every sample of `paths` from every server; one that differs ends the run."""
    servers = [server for server in servers if server.name != FLOOR]
    for path in paths:
        who = [server for server in servers if path not in LEAVES_OUT.get(server.name, ())]
        for sample in samples(users)[path]:
            answers = [(server.name, answer(server, sample)) for server in who]
            for name, other in answers[1:]:
                if other != answers[0][1]:
                    raise Fault(difference(sample, answers[0], (name, other)))


def answer(server, path):
    try:
        status, _, body = fetch(server.port, path)
        value = json.loads(body, parse_float=decimal.Decimal)
    except (OSError, ValueError) as error:
        raise Fault(f"{server.name}, GET {path}: {error}") from error
    if isinstance(value, dict):
        value.pop(IGNORED, None)
    return status, value


def difference(path, one, other):
    """One readable line that shows where two answers part."""
    texts = [f"{status} {json.dumps(value, default=str, sort_keys=True)}"
             for _, (status, value) in (one, other)]
    at = next((i for i, pair in enumerate(zip(*texts)) if pair[0] != pair[1]),
              min(map(len, texts)))
    shown = [f"…{text[max(at - 30, 0):at + 60]}…" for text in texts]
    return (f"GET {path}: {one[0]} and {other[0]} answer differently, so comparing them says "
            f"nothing\n  {one[0]}: {shown[0]}\n  {other[0]}: {shown[1]}")
