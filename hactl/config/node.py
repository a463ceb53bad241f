"""node.toml: this node's name, how to reach etcd, where its files are. Light: `hactl status` reads it.

Every field of NodeConfig is a setting of this name; its metadata holds its meaning and its check.
"""

from __future__ import annotations

import socket
import tomllib
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from hactl.config import node_checks as checks
from hactl.config.errors import ConfigErrors, Problem, suggest
from hactl.config.node_checks import NODE_HOST, Check, WrongError
from hactl.config.toml_lines import error_place, key_places

DEFAULT_PATH = Path("/etc/hactl/node.toml")
# In `state_dir`: the cluster's history, as far as this node knows it.
IDENTITY_FILE = "identity.json"

__all__ = ["DEFAULT_PATH", "NODE_HOST", "NodeConfig", "load_node", "parse_node"]

Problems = list[tuple[str, str, str]]


def _setting(check: Check, meaning: str, default: Any = MISSING, *, example: str = "", shown: str = "") -> Any:
    """A field. `example`: for errors; `shown`: the default in words where it is not a value."""
    metadata = {"check": check, "meaning": meaning, "example": example, "shown": shown}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """This node's settings. Fields that are "" are not given."""

    cluster: str = _setting(checks.name, "the cluster's name, as in cluster.yaml", example='"demo"')
    node: str = _setting(
        checks.name, "this node's name, as in cluster.yaml", "", shown="the host's name up to its first dot"
    )
    endpoints: tuple[str, ...] = _setting(
        checks.endpoints,
        "etcd's client URLs, this node's own member first",
        ("http://127.0.0.1:2379",),
        example='["http://127.0.0.1:2379"]',
    )
    etcd_ca: str = _setting(checks.path, "certificate of the authority that signed etcd's certificates, for https", "")
    etcd_cert: str = _setting(checks.path, "client certificate for etcd", "")
    etcd_key: str = _setting(checks.path, "key of the client certificate", "")
    etcd_member_certs: tuple[str, ...] = _setting(
        checks.paths,
        "certificates of the etcd member on this machine, such as `server.pem` and `peer.pem`: their ends are watched",
        (),
        example='["/etc/hactl/etcd/server.pem", "/etc/hactl/etcd/peer.pem"]',
    )
    etcd_user: str = _setting(checks.text, "etcd's user", "")
    etcd_password_file: str = _setting(checks.path, "a file that holds the user's password and nothing else", "")
    accept_insecure_etcd: bool = _setting(
        checks.boolean,
        "nobody else can reach etcd: no warning if it is used without TLS, users or the cluster's key",
        False,
    )
    state_dir: str = _setting(checks.path, "directory for files that must survive a reboot", "/var/lib/hactl")
    run_dir: str = _setting(
        checks.run_dir, "directory for sockets and files that need not survive a reboot", "/run/hactl"
    )
    cgroup_root: str = _setting(
        checks.path,
        "a cgroup v2 directory for the processes that hactl starts; created if absent",
        "",
        shown="`hactl` in the machine's cgroup v2 hierarchy",
    )
    metrics_listen: str = _setting(
        checks.listen,
        "the address and port at which `hactl-http` serves /metrics and /healthz; `node:PORT`: loopback, and the "
        'node\'s address in cluster.yaml as soon as it is known; `""`: none',
        f"{checks.NODE_HOST}:9664",
    )
    http_group: str = _setting(
        checks.text,
        "the group that `hactl-http` runs as: apart from root, only it may read the data that the daemon publishes",
        "hactl-http",
    )
    operate_group: str = _setting(
        checks.text,
        "the group that may do everything with `hactl` on this node, like root; `socket_group` is its old name",
        "hactl",
    )
    read_group: str = _setting(
        checks.text, "the group that may read the state (`hactl status`, `events`, …), and change nothing", "hactl-read"
    )
    on_sigterm: Literal["release", "keep"] = _setting(
        checks.one_of("release", "keep"),
        "a daemon that ends by SIGTERM hands its groups over (`release`), or leaves them running for the next daemon; "
        "in standby it always hands over",
        "keep",
    )
    cluster_key: str = _setting(
        checks.path,
        "a file with the cluster's key, the same on every node, readable by root only; without it, guards are not "
        "asked (`hactl key create`)",
        "/etc/hactl/cluster.key",
    )
    guard_port: int = _setting(
        checks.port, "the UDP port at which guards answer, on the node's address; the same on every node", 9665
    )
    self_fence: tuple[str, ...] = _setting(
        checks.self_fence,
        'the last resort if a resource cannot be stopped: `"reboot"`, `"watchdog"`, `["command", "/path", …]`, '
        '`"log"` (tests only)',
        ("reboot",),
        example='["command", "/usr/local/sbin/power-off"]',
    )
    watchdog: Literal["off", "use", "required"] = _setting(
        checks.one_of("off", "use", "required"),
        "`use`: `watchdog_device` resets this node if its lease was not renewed; `required`: as `use`, and without the "
        "device this node owns nothing",
        "off",
    )
    watchdog_device: str = _setting(checks.path, "the watchdog's device; nothing else may use it", "/dev/watchdog")
    log_format: Literal["auto", "text", "json"] = _setting(
        checks.one_of("auto", "text", "json"), "`auto`: text on a terminal, JSON elsewhere", "auto"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        checks.one_of("debug", "info", "warning", "error"), "the lowest level that is logged", "info"
    )
    haproxy_binary: str = _setting(checks.text, "HAProxy's program, by name or path", "haproxy")
    haproxy_dir: str = _setting(
        checks.run_dir, "directory for HAProxy's configuration and sockets", "", shown="`haproxy` in `run_dir`"
    )
    machine_id_file: str = _setting(checks.path, "file with an id that no other machine has", "/etc/machine-id")
    hardware_file: str = _setting(
        checks.path,
        "tests only: file that describes this machine: a line for the mainboard's UUID, one for a MAC address",
        "",
    )
    boot_id_file: str = _setting(
        checks.path, "file with an id that is new at every boot", "/proc/sys/kernel/random/boot_id"
    )

    @property
    def api_socket(self) -> str:
        """Where the daemon answers the command line."""
        return f"{self.run_dir}/hactl.sock"

    @property
    def read_socket(self) -> str:
        """Where it answers questions, and nothing else."""
        return f"{self.run_dir}/read.sock"

    @property
    def publish_socket(self) -> str:
        """Where the daemon publishes the data that is served on the network."""
        return f"{self.run_dir}/publish.sock"

    @property
    def guard_socket(self) -> str:
        """Where the guard answers the daemon."""
        return f"{self.run_dir}/guard.sock"


def load_node(path: Path = DEFAULT_PATH) -> NodeConfig:
    """Read node.toml. Raises ConfigErrors with everything that is wrong."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        hint = f"write it, beginning with `cluster = NAME`; every setting is in {_MANUAL}"
        raise ConfigErrors([Problem(str(path), "", f"cannot be read: {error.strerror}", hint)]) from None
    except UnicodeDecodeError:
        raise ConfigErrors([Problem(str(path), "", "is not UTF-8", "save it as UTF-8")]) from None
    return parse_node(text, str(path))


_MANUAL = "docs/configuration.md"


def parse_node(text: str, file: str = "node.toml") -> NodeConfig:
    """As load_node, from the text; `file` is how errors call it."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, place = error_place(str(error), text)
        raise ConfigErrors([Problem(file, "", f"is not TOML: {reason}", "", place)]) from None
    values, wrong = _read(data)
    if wrong := wrong or _together(values):
        places = key_places(text)
        raise ConfigErrors(Problem(file, *problem, places.get((problem[0],))) for problem in wrong)
    return NodeConfig(**values)


def _read(data: dict[str, Any]) -> tuple[dict[str, Any], Problems]:
    settings = {setting.name: setting for setting in fields(NodeConfig)}
    values: dict[str, Any] = {}
    data, renamed = _with_new_names(data)
    wrong: Problems = [*renamed] + [
        (name, "unknown key", suggest(name, list(settings))) for name in data if name not in settings
    ]
    for name, setting in settings.items():
        if name in data:
            try:
                values[name] = setting.metadata["check"](data[name])
            except WrongError as error:
                example = setting.metadata["example"]
                wrong.append((name, error.problem, error.hint or (f"such as `{name} = {example}`" if example else "")))
        elif setting.default is MISSING:
            wrong.append((name, "is missing", f"such as `{name} = {setting.metadata['example']}`"))
    values.setdefault("node", socket.gethostname().partition(".")[0])
    values["haproxy_dir"] = values.get("haproxy_dir") or f"{values.get('run_dir', '/run/hactl')}/haproxy"
    return values, wrong


# Settings that had another name.
_OLD_NAMES = {"socket_group": "operate_group"}


def _with_new_names(data: dict[str, Any]) -> tuple[dict[str, Any], Problems]:
    twice = [
        (old, f"is the old name of `{new}`, which is given, too", f"leave `{old}` out")
        for old, new in _OLD_NAMES.items()
        if old in data and new in data
    ]
    return {_OLD_NAMES.get(name, name): value for name, value in data.items()}, twice


def _together(values: dict[str, Any]) -> Problems:
    """The rules between several settings."""
    wrong: Problems = []
    for first, second in (("etcd_user", "etcd_password_file"), ("etcd_cert", "etcd_key")):
        if bool(values.get(first)) != bool(values.get(second)):
            given, absent = (first, second) if values.get(first) else (second, first)
            wrong.append((given, f"is given without `{absent}`", f"give `{absent}`, too"))
    if values.get("etcd_cert") and not values.get("etcd_ca"):
        wrong.append(("etcd_cert", "is given without `etcd_ca`", "give `etcd_ca`, too"))
    schemes = {url.partition("://")[0] for url in values.get("endpoints", ("http://",))}
    if values.get("etcd_ca") and schemes != {"https"}:
        wrong.append(("etcd_ca", "is given, so every endpoint must begin with https://", "write https://HOST:PORT"))
    if "https" in schemes and not values.get("etcd_ca"):
        wrong.append(("endpoints", "https:// needs `etcd_ca`", "give the authority's certificate"))
    try:
        checks.name(values["node"])
    except WrongError:
        wrong.append(("node", f"the host is called `{values['node']}`, which is no name here", "give `node`"))
    return wrong
