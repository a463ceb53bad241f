"""Hooks in a cluster: they tell of a failover, and one whose receiver hangs takes nothing from it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hactl.lab import netns
from hactl.lab.spec import CLIENT
from hactl.lab.system import LabError

from .status_document import has_warning
from .whole import ASKED, Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

# Of a failover on a busy machine, beside what a receiver that hangs could cost: that is tens of seconds.
NOISE_S = 3.0


@pytest.fixture
def inbox() -> Iterator[Path]:
    """A directory in which the hooks' user may write; `notify` there puts each event into a file of its own."""
    path = Path(tempfile.mkdtemp(prefix="hactl-hooks-"))
    path.chmod(0o777)
    script = path / "notify"
    script.write_text(f'#!/bin/sh\ncat > {path}/.$$ && mv {path}/.$$ "{path}/$HACTL_EVENT.$HACTL_NODE.$HACTL_ID.$$"\n')
    script.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def hanging(cluster: Cluster) -> Iterator[str]:
    """The URL of a receiver at the client that accepts connections and never answers."""
    there = (cluster.lab.spec.client.address, 0)
    with netns.inside(cluster.lab.spec.namespace(CLIENT), lambda: socket.create_server(there, backlog=128)) as listener:
        yield f"http://{there[0]}:{listener.getsockname()[1]}/"


def with_hooks(cluster: Cluster, *hooks: dict[str, Any]) -> dict[str, Any]:
    return {**cluster.base, "hooks": list(hooks)}


def inbox_of(inbox: Path, event: str) -> list[dict[str, Any]]:
    """The events of a kind that came."""
    return [json.loads(path.read_text()) for path in sorted(inbox.glob(f"{event}.*"))]


def await_hooks(cluster: Cluster, *names: str) -> None:
    """Until every node has them."""
    for node in cluster.nodes:
        cluster.until(
            lambda n=node: set(names) <= {hook["name"] for hook in cluster.api(n, "/v1/hooks")[1]["hooks"]},  # type: ignore[misc]
            f"{node} has the hooks",
        )


def gap_of_a_power_cut(cluster: Cluster) -> float:
    """Cut the power of the service's owner; for how long its clients had no answer, in seconds."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    with cluster.lab.probe(ASKED["service"]) as probe:
        cluster.lab.kill(owner)
        cluster.await_all_running(cluster.others(owner))
    assert probe.result is not None
    cluster.lab.start(owner)
    cluster.await_live(owner)
    return probe.result.outage_ms / 1000


def test_a_failover_is_told_once_and_no_later_for_a_receiver_that_hangs(
    cluster: Cluster, inbox: Path, hanging: str
) -> None:
    without = gap_of_a_power_cut(cluster)
    tell = {"name": "tell", "on": ["failover", "peer_*"], "command": [str(inbox / "notify")]}
    stuck = [{"name": f"stuck-{n}", "on": ["*"], "webhook": {"url": hanging}, "timeout": "2s"} for n in range(3)]
    cluster.configure(with_hooks(cluster, tell, *stuck))
    await_hooks(cluster, "tell", "stuck-0")
    within = gap_of_a_power_cut(cluster)
    print(f"without service for {without:.2f} s without hooks, {within:.2f} s with three that hang")
    assert within < without + NOISE_S
    told = cluster.until(lambda: inbox_of(inbox, "failover"), "the failover is told")
    assert {event["data"]["group"] for event in told} <= {"service", "vip"}
    service = [event for event in told if event["group"] == "service"]
    assert len(service) == 1 and service[0]["data"]["reason"] == "node_lost"
    deposed = cluster.until(lambda: inbox_of(inbox, "peer_deposed"), "the lost node is told")
    assert [event["data"]["node"] for event in deposed] == [service[0]["data"]["from"]]


@pytest.mark.long
def test_a_hook_that_fails_is_a_warning_on_every_node(cluster: Cluster, inbox: Path) -> None:
    bad = {"name": "bad", "on": ["hook_test", "asked_*"], "command": ["/bin/false"], "retries": 0}
    cluster.configure(
        with_hooks(cluster, bad, {"name": "good", "on": ["hook_failed"], "command": [str(inbox / "notify")]})
    )
    await_hooks(cluster, "bad", "good")
    assert "/bin/false" in cluster.hactl("n1", "hook", "list")
    assert "good, from n1" in cluster.hactl("n1", "hook", "test", "good")
    assert [event["event"] for event in inbox_of(inbox, "hook_test")] == ["hook_test"]
    with pytest.raises(LabError, match=r"exit 1: .*bad, from n1 to /bin/false: not delivered: .* exit status 1"):
        cluster.hactl("n1", "hook", "test", "bad")
    with pytest.raises(LabError, match=r"exit 2: .*no hook `bed` \(hooks: bad, good\)"):
        cluster.hactl("n1", "hook", "test", "bed")
    cluster.hactl("n1", "node", "standby", "n3", "--drain-timeout", "0s")
    cluster.await_event("n1", "hook_failed", hook="bad", of="asked_standby")
    for name in cluster.nodes:
        cluster.until(
            lambda n=name: has_warning(cluster.status(n), "node n1: hook bad is not delivered from here"),  # type: ignore[misc]
            f"{name} warns",
        )
    assert [event["node"] for event in cluster.until(lambda: inbox_of(inbox, "hook_failed"), "it is told")] == ["n1"]
    cluster.configure(cluster.base)
    cluster.until(lambda: not has_warning(cluster.status("n2"), "hook bad"), "the warning ends")


@pytest.mark.long
def test_what_waits_outlives_the_daemon(cluster: Cluster, inbox: Path) -> None:
    """Its command is not there yet when the daemon is killed."""
    tell = {"name": "tell", "on": ["asked_standby"], "command": [str(inbox / "late")], "retries": 20}
    (inbox / "late").symlink_to(inbox / "notify")
    cluster.configure(with_hooks(cluster, tell))
    await_hooks(cluster, "tell")
    (inbox / "late").unlink()
    cluster.hactl("n1", "node", "standby", "n3", "--drain-timeout", "0s")
    kept = cluster.node("n1").home / "state" / "hooks.json"
    cluster.until(kept.exists, "the event is kept")
    killed = cluster.node("n1").kill_daemon()
    cluster.until(lambda: cluster.node("n1").daemon_pid() not in (None, killed), "the daemon is back")
    (inbox / "late").symlink_to(inbox / "notify")
    [event] = cluster.until(lambda: inbox_of(inbox, "asked_standby"), "it is told")
    assert (event["node"], "n3" in event["text"]) == ("n1", True)
    with contextlib.suppress(LabError):
        cluster.hactl("n2", "node", "online", "n3")
    cluster.until(lambda: not kept.exists(), "nothing waits")
