"""An operator's access to etcd: its endpoints' facts, and `etcdctl`. With the rights of etcd's `root` where its
certificate is here, else with the node's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from dataclasses import replace

from election.etcd.facts import EndpointFacts
from election.etcd.metrics_page import metrics_page
from election.etcd.server_metrics import ServerMetrics, parse
from election.keys import Keys
from election.store import StoreError
from fencing.agents.secret_sources import read_secret
from hactl.admin.errors import RefusedError
from hactl.config.document import read_stored
from hactl.config.errors import ConfigErrors
from hactl.config.etcd_access import open_etcd, tls_files
from hactl.config.etcd_admin import admin_access, beside
from hactl.config.node import NodeConfig
from hactl.linux.errors import OperationError
from hactl.linux.run import run
from hactl.model.cluster import ClusterSpec
from hactl.status.etcd.judge import EtcdState, judge
from hactl.status.etcd.problems import answering

LOOK_S = 2.0
CALL_S = 10.0
# etcdctl gives up before it is killed, and says why.
_GRACE_S = 5.0

_NOT_ALLOWED = re.compile("permission denied|user name is empty|invalid user|authentication failed")


class EtcdAdmin:
    """Blocks. Raises ConfigErrors, when it is made, for files that cannot be used."""

    def __init__(self, config: NodeConfig) -> None:
        self.config, self.access = config, admin_access(config)
        self._store = open_etcd(self.access)

    def look(self) -> EtcdState:
        """etcd now, with what its members measured since they were started."""
        facts = self._store.look(LOOK_S)
        measured = {fact.endpoint: self._measured(fact) for fact in answering(facts)}
        facts = tuple(
            fact._replace(quota_bytes=fact.quota_bytes or measured[fact.endpoint].quota_bytes)
            if fact.endpoint in measured
            else fact
            for fact in facts
        )
        return judge(facts, replace(beside(self.config, self._configured(facts)), measured=measured))

    def etcdctl(self, *words: str, endpoint: str = "", timeout_s: float = CALL_S) -> str:
        """The output of etcdctl, at one endpoint (HOST:PORT) or at all of node.toml. Raises RefusedError."""
        return etcdctl(self._flags(endpoint, timeout_s) + list(words), self._environment(), timeout_s + _GRACE_S)

    def close(self) -> None:
        """Let go of etcd."""
        self._store.close()

    def _flags(self, endpoint: str, timeout_s: float) -> list[str]:
        access = self.access
        at = f"{'https' if access.etcd_ca else 'http'}://{endpoint}" if endpoint else ",".join(access.endpoints)
        flags = {"endpoints": at, "cacert": access.etcd_ca, "cert": access.etcd_cert, "key": access.etcd_key}
        limits = [f"--command-timeout={timeout_s:g}s"]
        return [f"--{name}={value}" for name, value in flags.items() if value] + limits

    def _environment(self) -> dict[str, str]:
        """The password is not on the command line, where every user could read it."""
        if not self.access.etcd_user:
            return {}
        return {"ETCDCTL_USER": f"{self.access.etcd_user}:{read_secret(self.access.etcd_password_file)}"}

    def _measured(self, fact: EndpointFacts) -> ServerMetrics:
        try:
            return parse(metrics_page(fact.endpoint, tls_files(self.access), LOOK_S))
        except OSError:
            return ServerMetrics()

    def _configured(self, facts: tuple[EndpointFacts, ...]) -> ClusterSpec | None:
        """The cluster's configuration, where etcd has one that can be read."""
        if not any(fact.read_ms is not None for fact in facts):
            return None
        with contextlib.suppress(StoreError, ConfigErrors):
            stored, _ = self._store.get(Keys.of(self.config.cluster).config, timeout_s=LOOK_S)
            return read_stored(stored.value, checked=False).spec if stored else None
        return None


def etcdctl(words: list[str], environment: dict[str, str], timeout_s: float, *, program: str = "etcdctl") -> str:
    """Run etcd's own tool; its output. Raises RefusedError with its last words."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("ETCDCTL_", "ETCD_"))}
    env = {**others, "ETCDCTL_API": "3", **environment}
    try:
        done = asyncio.run(run([program, *words], timeout_s=timeout_s, env=env, leaves=False))
    except OperationError as error:
        raise RefusedError(f"{error}: `apt-get install etcd-client`") from None
    if done.ok:
        return done.stdout
    command = " ".join(word for word in words if not word.startswith("--"))
    problem = f"`{program} {command}` {done.describe()}"
    if _NOT_ALLOWED.search(done.stderr):
        raise RefusedError(f"{problem}; {_ROOT}")
    raise RefusedError(problem)


_ROOT = (
    "it needs the rights of etcd's user `root`: run it on a machine that has root's certificate (admin.pem and "
    "admin.key beside `etcd_cert` of node.toml)"
)
