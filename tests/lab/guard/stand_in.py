"""A stand-in for the daemon: adopts a guard, takes on a session or goes on with the one the guard holds,
registers, renews without end. Run as `python stand_in.py PLAN.json`; prints one JSON line when it is ready.

Exit status 7: the guard died; 8: the guard refused to extend.
"""

from __future__ import annotations

import dataclasses
import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from fencing.guard import client
from fencing.guard.responder import Listen
from fencing.linux.clock import now
from tests.support.guard_client import GuardClient, GuardRefusedError, ensure


def main(plan: dict[str, Any]) -> int:
    spec = client.GuardSpec(**plan["spec"])
    guard = ensure(spec) if plan.get("spawn") else GuardClient(spec.socket)
    status = guard.adopt(spec.daemon_cgroup)
    session_id = status.session_id
    if not session_id:
        session_id = plan.get("sid", "s1")
        guard.begin(session_id, plan["stop_budget_ms"], plan["self_fence_lead_ms"], now().plus(plan["lease_ms"]))
    for name, steps in plan.get("register", {}).items():
        guard.register(name, steps)
    if "listen" in plan:
        *where, key = plan["listen"]
        guard.listen(Listen(*where, bytes.fromhex(key)))
    if "fence" in plan:
        guard.fence(plan["fence"])
    agents = [subprocess.Popen(argv) for argv in plan.get("agents", [])]
    status = dataclasses.replace(guard.status(), incarnation=status.incarnation)
    sys.stdout.write(json.dumps(dataclasses.asdict(status)) + "\n")
    sys.stdout.flush()
    poll = select.poll()
    poll.register(guard.fileno(), select.POLLIN)
    try:
        while True:
            if poll.poll(plan.get("renew_ms", 100)):
                return 7
            if plan.get("renew", True):
                guard.extend(
                    session_id, plan["stop_budget_ms"], plan["self_fence_lead_ms"], now().plus(plan["lease_ms"])
                )
    except client.GuardError:
        return 7
    except GuardRefusedError:
        return 8
    finally:
        del agents


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
