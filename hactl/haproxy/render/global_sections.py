"""The sections that are not a service's: `global`, sets of defaults, userlists, peers, the exporter. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from hactl.haproxy.render.checks import check_lines
from hactl.haproxy.render.common import Place, check_words, common_lines, default_server, says_verify, server_words
from hactl.haproxy.render.service import OWN, Section
from hactl.haproxy.settings import HaproxySettings
from hactl.haproxy.words import duration, endpoint, quoted
from hactl.model.haproxy import Exporter, GlobalOptions, User
from hactl.model.service import BUILT_IN, Common

# The proxy that serves HAProxy's own metrics; no service can have the name.
EXPORTER = "hactl-exporter"


def global_section(globals_: GlobalOptions, node: str, settings: HaproxySettings, *, peers: bool) -> Section:
    """`global`. `peers`: tables are shared."""
    lines = [f"node {node}"]
    if peers:
        lines.append(f"localpeer {node}")
    if globals_.maxconn is not None:
        lines.append(f"maxconn {globals_.maxconn}")
    if globals_.nbthread:
        lines.append(f"nbthread {globals_.nbthread}")
    lines += [f"{name} {value}" for name, value in (("user", globals_.user), ("group", globals_.group)) if value]
    if globals_.hard_stop_after_ms is not None:
        lines.append(f"hard-stop-after {duration(globals_.hard_stop_after_ms)}")
    lines.append(f"stats socket {settings.stats_socket} mode 600 level admin expose-fd listeners")
    lines.append("stats timeout 30s")
    # Which servers are well, told by the worker before a reload to the one after it: hactl/haproxy/control/live.py.
    lines.append(f"server-state-file {settings.health_file}")
    lines += [f"log {target}" for target in globals_.log]
    return Section("global", (*lines, *globals_.extra_global))


def built_in_section(globals_: GlobalOptions) -> Section:
    """The set of defaults of services that name none. Settings that depend on the mode stand in the services."""
    log = BUILT_IN.log if globals_.log else None
    own = replace(BUILT_IN, log=log, keep_alive=None, forwardfor=None, detailed_log=None, extra=globals_.extra_defaults)
    checks = replace(own.check, observe=None)
    return Section(f"defaults {OWN}", tuple(_defaults(replace(own, check=checks))))


def defaults_section(name: str, own: Common) -> Section:
    """A set of defaults of the configuration's."""
    return Section(f"defaults {name}", tuple(_defaults(own)))


def _defaults(own: Common) -> Iterator[str]:
    if own.mode is not None:
        yield f"mode {own.mode}"
    yield from common_lines(own, Place("both", own.mode or "tcp"))
    yield from check_lines(own.check, None)
    yield from default_server((*check_words(own.check, verified=says_verify(own)), *server_words(own.server)))
    yield "load-server-state-from-file global"
    yield from own.extra


def userlist_section(name: str, users: tuple[User, ...]) -> Section:
    """A userlist. Groups are those that its users are in."""
    groups = dict.fromkeys(group for user in users for group in user.groups)
    lines = [f"group {group}" for group in groups]
    for user in users:
        member = f" groups {','.join(user.groups)}" if user.groups else ""
        lines.append(f"user {user.name} password {quoted(user.password)}{member}")
    return Section(f"userlist {name}", tuple(lines))


def peers_section(addresses: Mapping[str, str], port: int) -> Section:
    """All nodes, so that each has the tables of the others."""
    peers = (f"peer {name} {endpoint(address, port)}" for name, address in addresses.items())
    return Section(f"peers {OWN}", tuple(peers))


def exporter_section(exporter: Exporter, address: str) -> Section:
    """HAProxy's own metrics on the node's address."""
    lines = (
        f"bind {endpoint(address, exporter.port)}",
        "mode http",
        "no log",
        f"http-request use-service prometheus-exporter if {{ path {quoted(exporter.path)} }}",
        "http-request return status 404",
    )
    return Section(f"frontend {EXPORTER} from {OWN}", lines)
