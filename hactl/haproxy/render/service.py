"""The sections of a service. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from hactl.haproxy.effective import defaults_of
from hactl.haproxy.render.checks import check_lines
from hactl.haproxy.render.common import (
    Place,
    Side,
    check_words,
    common_lines,
    default_server,
    says_verify,
    server_words,
)
from hactl.haproxy.render.servers import Server, servers
from hactl.haproxy.words import duration, is_name, quoted
from hactl.model.haproxy import GlobalOptions
from hactl.model.service import Common, Kind, Mode, ServiceOptions, ServiceSpec
from hactl.model.service_parts import BindOptions, BindTls

# The name of the built-in set of defaults, and of the peers that share tables.
OWN = "hactl"

# The frontend of a service of kind split, behind the service's name, which the backend has: HAProxy 3.3 takes no two
# sections of one name.
FRONT = "-front"

# The sections of each kind: word, suffix of the service's name, side.
_SIDES: dict[Kind, tuple[tuple[str, str, Side], ...]] = {
    "listen": (("listen", "", "both"),),
    "split": (("frontend", FRONT, "front"), ("backend", "", "back")),
    "frontend": (("frontend", "", "front"),),
    "backend": (("backend", "", "back"),),
}

_CONDITION = re.compile(r"\s(if|unless)\s")


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its first line, its lines, and behind them its servers."""

    title: str
    lines: tuple[str, ...]
    service: str = ""
    elected: str = ""
    servers: tuple[Server, ...] = ()


def service_sections(service: ServiceSpec, globals_: GlobalOptions, addresses: Mapping[str, str]) -> list[Section]:
    """One section, or a frontend and a backend. `addresses`: of all nodes. Raises OptionError."""
    options = service.options
    defaults = defaults_of(options, globals_)
    inherited: Mode = defaults.mode or "tcp"
    if options.mode is None and service.mode != inherited:
        options = replace(options, mode=service.mode)
    if not options.defaults:
        options = _by_mode(options, options.mode or inherited, bool(globals_.log))
    sections = []
    for word, suffix, side in _SIDES[options.kind]:
        place = Place(side, options.mode or inherited, options.kind == "split")
        lines = tuple(_lines(service, options, defaults, place))
        of_section = servers(service, addresses) if place.back else ()
        title = f"{word} {service.name}{suffix} from {options.defaults or OWN}"
        sections.append(Section(title, lines, service.name, service.elected_by, of_section))
    return sections


def _by_mode(options: ServiceOptions, mode: Mode, logs: bool) -> ServiceOptions:
    """The settings of the built-in set that cannot stand there because they depend on the mode."""
    if options.detailed_log is None and logs and options.log != ():
        options = replace(options, detailed_log=True)
    if mode == "http":
        keep_alive = "close" if options.keep_alive is None else options.keep_alive
        forwardfor = True if options.forwardfor is None else options.forwardfor
        # A client that sends its next request just when a reload closes its connection would lose it.
        announced = True if options.idle_close_on_response is None else options.idle_close_on_response
        options = replace(options, keep_alive=keep_alive, forwardfor=forwardfor, idle_close_on_response=announced)
    return options


def _lines(service: ServiceSpec, options: ServiceOptions, defaults: Common, place: Place) -> Iterator[str]:
    if place.front:
        yield from (f"bind {_bind(bind)}" for bind in service.accepts)
    if options.mode is not None:
        yield f"mode {options.mode}"
    yield from common_lines(options, place)
    acls = [f"acl {acl}" for acl in options.acls]
    if place.back:
        if options.stick is not None and _CONDITION.search(options.stick.on):
            # A condition has to stand before the lines that name it.
            yield from acls
            acls = []
        yield from _persistence(options)
        yield from check_lines(options.check, defaults.check.kind)
        if options.members or options.servers or options.extra:
            yield from default_server(_default_server(options, defaults))
    if place.front or options.kind == "backend":
        yield from acls
        yield from _rules(options)
    if place.split and place.front and not options.default_backend:
        yield f"default_backend {service.name}"
    yield from _extra(options, place)


def _bind(bind: BindOptions) -> str:
    words = [f"*{bind.address}" if bind.address.startswith(":") else bind.address]
    if bind.tls is not None:
        words += _bind_tls(bind.tls)
    if bind.accept_proxy:
        words.append("accept-proxy")
    if bind.words:
        words.append(bind.words)
    return " ".join(words)


def _bind_tls(tls: BindTls) -> Iterator[str]:
    yield "ssl"
    yield from (f"crt {quoted(certificate)}" for certificate in tls.certificates)
    trust = (("crt-list", tls.crt_list), ("ca-file", tls.ca_file), ("verify", tls.verify), ("alpn", tls.alpn))
    limits = (("ssl-min-ver", tls.min_version), ("ciphers", tls.ciphers), ("ciphersuites", tls.ciphersuites))
    yield from (f"{name} {quoted(value)}" for name, value in (*trust, *limits) if value)


def _persistence(options: ServiceOptions) -> Iterator[str]:
    if (cookie := options.cookie) is not None:
        words = [cookie.name, cookie.mode, *(["indirect"] if cookie.indirect else [])]
        words += [*(["nocache"] if cookie.nocache else []), *([cookie.words] if cookie.words else [])]
        yield f"cookie {' '.join(words)}"
    if (stick := options.stick) is not None:
        peers = f" peers {OWN}" if stick.shared else ""
        yield f"stick-table type {stick.type} size {stick.size} expire {duration(stick.expire_ms)}{peers}"
        yield f"stick on {stick.on}"
        yield from stick.lines


def _default_server(options: ServiceOptions, defaults: Common) -> Iterator[str]:
    kind = options.check.kind or defaults.check.kind or "none"
    if kind != "none":
        yield "check"
    verified = says_verify(options, defaults, servers=options.servers)
    yield from check_words(options.check, verified=verified)
    observe = defaults.check.observe if options.check.observe is None else options.check.observe
    if kind != "none" and observe:
        # Only where there are checks: without, nothing would ever bring the server back.
        yield "observe layer4 error-limit 1 on-error sudden-death"
    server = options.server
    if options.writer == "elected" and server.shutdown_sessions is None:
        # A client that still holds a connection to the former writer would go on writing there.
        server = replace(server, shutdown_sessions=True)
    if not options.defaults and any(is_name(listed.address) for listed in options.servers):
        # A name that cannot be found would keep HAProxy, and with it all services, from starting.
        yield "init-addr last,libc,none"
    yield from server_words(server, defaults.server)


def _rules(options: ServiceOptions) -> Iterator[str]:
    yield from (f"tcp-request {rule}" for rule in options.tcp_request)
    yield from (f"http-request {rule}" for rule in options.http_request)
    yield from (f"http-response {rule}" for rule in options.http_response)
    if (stats := options.stats) is not None:
        yield from ("stats enable", f"stats uri {quoted(stats.uri)}")
        if stats.refresh_ms is not None:
            yield f"stats refresh {duration(stats.refresh_ms)}"
        if stats.userlist:
            yield f"stats http-request auth unless {{ http_auth({stats.userlist}) }}"
        if stats.admin:
            yield "stats admin if TRUE"
    yield from (f"use_backend {rule}" for rule in options.use_backend)
    if options.default_backend:
        yield f"default_backend {options.default_backend}"


def _extra(options: ServiceOptions, place: Place) -> Iterator[str]:
    if place.front:
        yield from options.extra_frontend
    if place.back or options.kind == "frontend":
        yield from options.extra
