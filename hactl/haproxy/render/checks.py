"""The lines that say how a check asks, and which answer is good. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hactl.haproxy.words import duration, quoted
from hactl.model.service_parts import CheckKind, CheckOptions

# HAProxy's own option line for each kind of check.
_OPTIONS: dict[CheckKind, str] = {
    "tcp": "tcp-check",
    "mysql": "mysql-check",
    "pgsql": "pgsql-check",
    "redis": "redis-check",
    "ldap": "ldap-check",
    "smtp": "smtpchk",
    "tls": "ssl-hello-chk",
}

# Lines that give the request themselves.
_SENDS = re.compile(r"http-check\s+(send|connect)\b")


def check_lines(check: CheckOptions, inherited: CheckKind | None) -> Iterator[str]:
    """The lines of a section. `inherited`: the kind that the set of defaults has."""
    if check.timeout_ms is not None:
        yield f"timeout check {duration(check.timeout_ms)}"
    match check.kind:
        case None | "none":
            pass
        case "tcp":
            # By default HAProxy makes a plain connection.
            if check.lines or inherited not in (None, "none", "tcp"):
                yield "option tcp-check"
        case "http":
            yield from _http(check)
        case "redis" if check.role:
            yield from redis_role(check.role)
        case "mysql" | "pgsql" if check.user:
            yield f"option {_OPTIONS[check.kind]} user {quoted(check.user)}"
        case "smtp" if check.host:
            yield f"option smtpchk EHLO {quoted(check.host)}"
        case kind:
            yield f"option {_OPTIONS[kind]}"
    yield from check.lines


def _http(check: CheckOptions) -> Iterator[str]:
    """Without a name of the host HAProxy sends HTTP/1.0, which needs none."""
    method, path = quoted(check.method or "GET"), quoted(check.path or "/")
    if check.host:
        yield "option httpchk"
        yield f"http-check send meth {method} uri {path} ver HTTP/1.1 hdr Host {quoted(check.host)}"
    elif not check.method and not check.path and any(_SENDS.match(line) for line in check.lines):
        yield "option httpchk"
    else:
        yield f"option httpchk {method} {path}"
    if check.expect_status:
        yield f"http-check expect status {check.expect_status}"


def redis_role(role: str) -> Iterator[str]:
    """The lines that ask redis for its role."""
    yield "option tcp-check"
    for send, expect in (("PING", "+PONG"), (r"info\ replication", f"role:{role}"), ("QUIT", "+OK")):
        yield rf"tcp-check send {send}\r\n"
        yield f"tcp-check expect string {expect}"
