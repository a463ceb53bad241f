"""Settings that HAProxy would refuse, or silently ignore, because of the mode or because a port is missing."""

from __future__ import annotations

from collections.abc import Iterator

from hactl.config.errors import KeyPath
from hactl.config.parts import Parts
from hactl.config.rules.findings import Finding
from hactl.config.rules.service_references import mode_of
from hactl.config.services.service import Service
from hactl.haproxy.words import is_path

_HTTP_SETTINGS = (
    "http_request", "http_response", "cookie", "stats", "forwardfor", "keep_alive", "idle_close_on_response",
)  # fmt: skip
_HTTP_BALANCE = ("uri", "url_param", "hdr")
# Settings about servers, and settings about clients.
_OF_SERVERS = ("balance", "hash_type", "retries", "redispatch", "all_backups", "check", "server", "port")
_OF_CLIENTS = ("maxconn", "dontlognull", "detailed_log", "log_format")
# Settings that lead somewhere without servers.
_LEADS = ("stats", "default_backend", "use_backend", "http_request", "extra")


def mode_findings(parts: Parts) -> Iterator[Finding]:
    """The problems of each service that is enabled."""
    for path, service in parts.services:
        if not service.enabled:
            continue
        if mode_of(parts, service) == "tcp":
            yield from _http_only(path, service)
        yield from _unused(path, service)
        yield from _not_taken_back(parts, path, service)
        if service.kind != "frontend":
            yield from _checkable(parts, path, service)
            yield from _named_user(path, service)
            yield from _served(path, service)


def _http_only(path: KeyPath, service: Service) -> Iterator[Finding]:
    given = [name for name in _HTTP_SETTINGS if getattr(service, name)]
    for name in given:
        yield Finding((*path, name), f"`{name}` is for `mode: http`, and the mode is tcp", "give `mode: http`")
    if service.balance in _HTTP_BALANCE:
        problem = f"`balance: {service.balance}` is for `mode: http`, and the mode is tcp"
        yield Finding((*path, "balance"), problem, "give `mode: http`, or choose `source`")


def _unused(path: KeyPath, service: Service) -> Iterator[Finding]:
    """Settings for the side that a frontend or a backend does not have."""
    other = {"frontend": _OF_SERVERS, "backend": _OF_CLIENTS}.get(service.kind, ())
    for name in other:
        if getattr(service, name) != type(service).model_fields[name].default:
            problem = f"`{name}` is not used: service `{service.name}` is of kind {service.kind}"
            yield Finding((*path, name), problem, "give it to the service on the other side", refused=False)


def _not_taken_back(parts: Parts, path: KeyPath, service: Service) -> Iterator[Finding]:
    """Some settings of a set of defaults cannot be switched off again in a service."""
    defaults = parts.haproxy.defaults.get(service.defaults)
    if defaults is None:
        return
    pairs = [((name,), getattr(service, name), getattr(defaults, name)) for name in ("forwardfor", "detailed_log")]
    cut = (service.server.shutdown_sessions, defaults.server.shutdown_sessions)
    for names, here, behind in (*pairs, (("server", "shutdown_sessions"), *cut)):
        if here is False and behind:
            problem = f"the set of defaults `{service.defaults}` has it, and HAProxy cannot take it back"
            yield Finding((*path, *names), problem, "take it out of the set, or name another set")


def _checkable(parts: Parts, path: KeyPath, service: Service) -> Iterator[Finding]:
    """A check needs a port, and a server that has that of the `bind` may have several."""
    defaults = parts.haproxy.defaults.get(service.defaults)
    behind = "tcp" if not service.defaults else defaults.check.kind if defaults else "none"
    kind = service.check.kind or ("http" if service.check.http else behind) or "none"
    named = service.check.port or (defaults.check.port if defaults else None)
    if kind == "none" or named or any("port" in line.split() for line in service.check.lines):
        return
    if service.members and "port" in service.model_fields_set and not service.port:
        yield Finding(
            (*path, "check"), "has no port to look at: `port` is that of the `bind`", "give `check: {port: …}`"
        )
    for index, server in enumerate(service.servers):
        if not (server.port or service.port or is_path(server.address)):
            here = (*path, "servers", index)
            yield Finding(here, "has no port that a check could look at", "give it `port`, or `check: {port: …}`")


def _named_user(path: KeyPath, service: Service) -> Iterator[Finding]:
    """MySQL counts a connection that ends before its handshake as an error of the host, and shuts the host out after
    `max_connect_errors`. Source: HAProxy's configuration manual, `option mysql-check`."""
    if service.check.kind == "mysql" and not service.check.user:
        problem = "is of kind mysql without `user`: MySQL may shut HAProxy's node out (`max_connect_errors`)"
        hint = "name a user without password that may connect from the nodes: `user: haproxy`; or use `kind: tcp`"
        yield Finding((*path, "check"), problem, hint, refused=False)


def _served(path: KeyPath, service: Service) -> Iterator[Finding]:
    if not service.members and not service.servers and not any(getattr(service, name) for name in _LEADS):
        yield Finding(path, f"service `{service.name}` has no server", "give it `servers`", refused=False)
