"""The files that setup writes: node.toml, the first cluster.yaml, etcd's settings and its unit's drop-in. Pure."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping

from hactl.decide.timing import PROFILES
from hactl.setup.bundle import Bundle, EtcdPart, NodePart
from hactl.setup.errors import BadInputError
from hactl.setup.places import Places
from hactl.setup.plan import CLIENT_PORT, PEER_PORT, Plan

# etcd's heartbeat for each election timeout in PROFILES.
_HEARTBEAT_MS = {"default": 100, "fast": 50, "wan": 500}

_NODE_TOML = """\
# /etc/hactl/node.toml: this node. `hactl setup` wrote it; a repeat changes the settings that are in it from the
# beginning, and no others. Every setting: docs/configuration.md.

"""
_MEANINGS = {
    "cluster": "",
    "node": "# As in cluster.yaml.\n",
    "endpoints": "# This node's own etcd member first: it is asked while it answers.\n",
}

# Names that YAML 1.1 or 1.2 takes for something else.
_NO_TEXT = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")

_CLUSTER_YAML = """\
# The configuration of the cluster {cluster}. To change it, edit this file on one node, then:
#
#   hactl config check {path}     what is wrong, and how long a failover takes at worst
#   hactl config apply {path}     all nodes follow, without a restart
#
# Every setting: docs/configuration.md; examples: docs/presets.md.

cluster: {cluster}

# etcd's election timeout belongs to the profile: it is set in /etc/hactl/etcd.env on every machine.
timing: {{profile: {profile}}}

# Give each node a fence device before a group has `fencing: required`.
nodes:
{nodes}
# What runs on one node at a time:
#
# groups:
#   - name: vip
#     overlap: true
#     resources:
#       - name: address
#         vip: {{address: 10.0.0.30/24}}

# What runs on every node, behind HAProxy:
#
# services:
#   - name: api
#     binds: ["10.0.0.30:8000"]
#     port: 8000
"""

_ETCD_ENV = """\
# /etc/hactl/etcd.env: etcd's settings. `hactl setup` wrote them, and writes them again when it is repeated; systemd
# reads no others (/etc/systemd/system/etcd.service.d/hactl.conf).
"""

DROP_IN = """\
# /etc/systemd/system/etcd.service.d/hactl.conf
#
# An etcd that is slow to write is slow to renew leases, and a lease that is not renewed in time stops what runs here.

[Unit]
StartLimitIntervalSec=0

[Service]
# In place of /etc/default/etcd.
EnvironmentFile=
EnvironmentFile={etcd_env}
Restart=always
RestartSec=1s
# Before the work of others, on the processor and (with a scheduler that has priorities) on the disk.
CPUWeight=1000
IOWeight=1000
Nice=-10
IOSchedulingClass=best-effort
IOSchedulingPriority=0
OOMScoreAdjust=-900
"""


def drop_in(places: Places) -> str:
    """What etcd's unit gets."""
    return DROP_IN.format(etcd_env=places.etcd_env)


# etcd's settings that are for a member without data.
FIRST_START = "ETCD_INITIAL_"


def etcd_env(bundle: Bundle, part: EtcdPart, places: Places) -> str:
    """etcd's settings, for systemd's EnvironmentFile."""
    host = bundle.host
    cluster = ",".join(f"{member.name}={member.url(PEER_PORT)}" for member in part.members)
    settings = {
        "NAME": host.name,
        "DATA_DIR": places.etcd_data,
        "LISTEN_CLIENT_URLS": host.url(CLIENT_PORT),
        "ADVERTISE_CLIENT_URLS": host.url(CLIENT_PORT),
        "LISTEN_PEER_URLS": host.url(PEER_PORT),
        "INITIAL_ADVERTISE_PEER_URLS": host.url(PEER_PORT),
        "INITIAL_CLUSTER": cluster,
        "INITIAL_CLUSTER_TOKEN": part.token,
        "INITIAL_CLUSTER_STATE": part.state,
    }
    timing = {
        "HEARTBEAT_INTERVAL": _HEARTBEAT_MS[bundle.profile],
        "ELECTION_TIMEOUT": int(PROFILES[bundle.profile].etcd_election_ms),
    }
    return "".join(
        (
            _ETCD_ENV,
            _lines(
                "The member, and, for its first start and a restore (INITIAL_), those with which it begins.", settings
            ),
            _lines(f"As `timing: {{profile: {bundle.profile}}}` in cluster.yaml says: `etcd_election`.", timing),
            _lines("A member that comes back from a partition must not unseat the leader.", {"PRE_VOTE": "true"}),
            _lines(_ROOM_WHY, _ROOM),
            _lines("Members and clients show certificates of the cluster's authority.", _tls(places)),
            _lines("", {"LOGGER": "zap", "LOG_LEVEL": "warn"}),
        )
    )


_ROOM_WHY = "Every node renews several times a second: without compaction the history would fill the quota within days."
_ROOM = {
    "AUTO_COMPACTION_MODE": "periodic",
    "AUTO_COMPACTION_RETENTION": "1h",
    "QUOTA_BACKEND_BYTES": "4294967296",
}


def _tls(places: Places) -> dict[str, str]:
    files = places.etcd
    return {
        "CLIENT_CERT_AUTH": "true",
        "TRUSTED_CA_FILE": f"{files}/ca.pem",
        "CERT_FILE": f"{files}/server.pem",
        "KEY_FILE": f"{files}/server.key",
        "PEER_CLIENT_CERT_AUTH": "true",
        "PEER_TRUSTED_CA_FILE": f"{files}/ca.pem",
        "PEER_CERT_FILE": f"{files}/peer.pem",
        "PEER_KEY_FILE": f"{files}/peer.key",
    }


def _lines(comment: str, settings: Mapping[str, object]) -> str:
    lines = "".join(f"ETCD_{name}={value}\n" for name, value in settings.items())
    return f"\n# {comment}\n{lines}" if comment else f"\n{lines}"


def cluster_yaml(plan: Plan, places: Places) -> str:
    """The first configuration: the nodes, and no groups."""
    nodes = "".join(
        f"  - name: {yaml_text(host.name)}\n    address: {yaml_text(host.address)}\n" for host in plan.nodes
    )
    return _CLUSTER_YAML.format(
        cluster=yaml_text(plan.cluster), path=places.cluster_yaml, profile=plan.profile, nodes=nodes
    )


def yaml_text(text: str) -> str:
    """A scalar that YAML takes as text, whatever it looks like."""
    plain = (text[:1].isalpha() or text.count(".") == 3) and ":" not in text and text.lower() not in _NO_TEXT
    return text if plain else json.dumps(text)


def node_settings(bundle: Bundle, part: NodePart, places: Places) -> dict[str, str | list[str]]:
    """The settings of node.toml that setup decides."""
    settings: dict[str, str | list[str]] = {
        "cluster": bundle.cluster,
        "node": bundle.host.name,
        "endpoints": list(part.endpoints),
    }
    if part.ca:
        settings["etcd_ca"] = f"{places.pki}/ca.pem"
    if part.client:
        settings |= {"etcd_cert": f"{places.pki}/client.pem", "etcd_key": f"{places.pki}/client.key"}
    if bundle.etcd:
        settings["etcd_member_certs"] = [f"{places.etcd}/server.pem", f"{places.etcd}/peer.pem"]
    if places.root != "/":
        settings["cluster_key"] = places.cluster_key
    return settings


def node_toml(settings: Mapping[str, str | list[str]], old: str = "") -> str:
    """node.toml with these settings. `old`: the present text, whose other settings and comments stay. Raises
    BadInputError where that cannot be done."""
    if not old.strip():
        return _NODE_TOML + "".join(f"{_MEANINGS.get(key, '')}{_toml(key, settings)}" for key in settings)
    try:
        present = tomllib.loads(old)
        lines = old.splitlines()
        for key in settings:
            if present.get(key) != settings[key]:
                _put(lines, key, _toml(key, settings).rstrip("\n"))
        text = "\n".join(lines) + "\n"
        after = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"node.toml cannot be read: {error}; correct it, then repeat this") from None
    if wrong := [key for key in settings if after.get(key) != settings[key]]:
        line = _toml(wrong[0], settings).rstrip("\n")
        raise BadInputError(f"node.toml has `{wrong[0]}` in a form that cannot be changed: write `{line}`, then repeat")
    return text


def _put(lines: list[str], key: str, line: str) -> None:
    """Replace the line of a top-level setting, or put it before the first table."""
    for number, text in enumerate(lines):
        if text.startswith("["):
            lines.insert(number, line)
            return
        if text.partition("=")[0].strip() == key:
            lines[number] = line
            return
    lines.append(line)


def _toml(key: str, settings: Mapping[str, str | list[str]]) -> str:
    return f"{key} = {json.dumps(settings[key])}\n"
