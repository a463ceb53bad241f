"""Every task and thread of daemon and guard is somebody's: kept by `hactl.supervise`, or waited for by who began it."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BEGINNERS = {"create_task", "ensure_future", "TaskGroup", "Thread"}

# How many are begun there, and who is told of their end.
WAITED_FOR = {
    "election/etcd/auth.py": 1,  # a login: its outcome is a Future
    "election/etcd/watch.py": 1,  # hands over WatchClosed whatever ends it
    "election/memory_store.py": 1,  # the simulation's and the tests' store
    "fencing/linux/aside.py": 1,  # its outcome is a Future, whatever is raised
    "fencing/linux/child.py": 1,  # waits for the end of what was killed, and tells nobody
    "fencing/linux/unmount.py": 1,  # a call that may hang: waited for with a limit, then it goes on by itself
    "fencing/guard/jobs.py": 1,  # a hand of the guard: does it again whatever is raised
    "fencing/guard/log.py": 1,  # goes on whatever is raised
    "hactl/daemon/actions.py": 4,  # each action ends in Acted; watching goes on whatever is raised
    "hactl/daemon/observe/health_checks.py": 1,  # as above: what a check raises is told as a trouble
    "hactl/daemon/api/routes.py": 1,  # its servers, kept as the API
    "hactl/daemon/parts/balancer_resource.py": 1,  # of `watch`, which Actions begins again
    "hactl/daemon/observe/device_monitor.py": 1,  # waited for where it is begun
    "hactl/daemon/parts/event_feed.py": 1,  # begun again by who follows next
    "hactl/daemon/log/writer.py": 1,  # goes on whatever is raised
    "hactl/daemon/api/shared.py": 1,  # waited for by who asks
    "hactl/daemon/publish.py": 2,  # its server; a snapshot, for who asks; an answer, which closes whatever is raised
    "hactl/daemon/parts/state_keeper.py": 1,  # one write, waited for
    "hactl/daemon/api/waiting.py": 1,  # who asks waits for so long at most
    "hactl/haproxy/control/commands.py": 1,  # waited for where it is begun
    "hactl/linux/disk_thread.py": 1,  # whatever is raised is given to who asked
    "hactl/resources/ocf/resource.py": 1,  # a `stop`, waited for where it is begun
    "hactl/resources/mount/resource.py": 1,  # an unmount: waited for where it is begun, and by the next
    "hactl/resources/vip/arp.py": 1,  # closes sockets that nobody uses any more
    "hactl/resources/vip/nft.py": 1,  # whatever is raised is given to who asked
    "hactl/resources/vip/duplicate_address.py": 1,  # ends with who began it
    "hactl/linux/dbus.py": 2,  # whatever ends it makes the bus lost, and connects again
    "hactl/resources/vip/handover.py": 3,  # catch what the kernel may say; rules lapse by themselves
    "hactl/resources/vip/announcing.py": 1,  # the rest of a burst: announcements go on without
    "hactl/serving/gate.py": 1,
    "hactl/serving/names.py": 1,  # a question to the name service: who waits for it has a limit
    "hactl/serving/sockets.py": 1,  # what fails ends the serving, which is kept
    "hactl/supervise.py": 1,
}


def begun(path: Path) -> int:
    tree = ast.parse(path.read_text())
    names = Counter(
        called.attr if isinstance(called, ast.Attribute) else called.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(called := node.func, ast.Attribute | ast.Name)
    )
    return sum(names[name] for name in BEGINNERS) - _of_a_group(tree)


def _of_a_group(tree: ast.AST) -> int:
    """A TaskGroup and what is begun in it count once: it waits, and raises what they raise."""
    return sum(
        sum(isinstance(inner, ast.Attribute) and inner.attr == "create_task" for inner in ast.walk(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith) and "TaskGroup" in ast.dump(node.items[0])
    )


def test_every_task_is_kept_or_waited_for() -> None:
    files = [*ROOT.glob("election/**/*.py"), *ROOT.glob("fencing/**/*.py"), *ROOT.glob("hactl/**/*.py")]
    unkept = {
        str(path.relative_to(ROOT)): number
        for path in files
        if not {"lab", "http"} & set(path.parts) and (number := begun(path))
    }
    more = {path: number for path, number in unkept.items() if number > WAITED_FOR.get(path, 0)}
    assert not more, f"{more}: keep it by hactl.supervise.Tasks, or see that somebody is told of its end, and say so"
