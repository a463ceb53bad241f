"""`server` and `default-server` lines: words that all servers have become the service's `server` and `check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from hactl.haproxy.diff.statements import read_statement
from hactl.importers.haproxy.common import Settings, Taken
from hactl.importers.haproxy.durations import to_setting
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.server_words import Param, Server, overlaid, params
from hactl.importers.haproxy.source import Line

# Words that belong to a single server, even if all have them.
_OWN = ("weight", "backup", "disabled", "cookie", "id", "guid", "?")
_OBSERVE = ("observe layer4", "error-limit 1", "on-error sudden-death")


@dataclass(frozen=True, slots=True)
class Pool:
    """The servers of a section. `common`: the words that all have, when they can be said once. `mixed`: there is a
    `default-server` that has to stay where it is, behind a server: no service can have that."""

    servers: tuple[Server, ...]
    common: tuple[Param, ...] = ()
    mixed: bool = False

    @property
    def checked(self) -> bool:
        """All servers are checked, and `check` is said once."""
        return any(param.name == "check" for param in self.common)

    @property
    def cookies(self) -> bool:
        """Every server has a cookie's value."""
        return all(server.get("cookie") is not None for server in self.servers)


def take_servers(taken: Taken) -> Pool:
    """Take the servers out of a section. Lines that hactl cannot have as settings stay."""
    lines = [line for line in taken.left if line.keyword in ("server", "default-server", "server-template")]
    servers = [line for line in lines if line.keyword == "server" and not line.literal and _is_sound(line)]
    literal = len(servers) != len([line for line in lines if line.keyword != "default-server"])
    behind: list[Param] = []
    pooled: list[Server] = []
    for line in lines:
        if line.keyword == "default-server":
            literal = literal or line.literal or bool(line.prefix)
            behind = overlaid(behind, params(line.args))
            literal = literal or any(param.key == "?" for param in behind)
        elif line in servers:
            pooled.append(_server(line, behind))
    if literal:
        if _others_follow(lines, servers):
            return Pool(())  # Which server is the first, or the first `backup`, says its place among all.
        # `default-server` has to stay where it is: other lines depend on it.
        taken.take(servers)
        first = next((index for index, line in enumerate(lines) if line.keyword != "default-server"), len(lines))
        mixed = any(line.keyword == "default-server" for line in lines[first:])
        return Pool(tuple(_server(line, []) for line in servers), mixed=mixed)
    if not pooled:
        return Pool(())
    taken.take(lines)
    taken.notes += _without_effect(lines, [param for server in pooled for param in server.params])
    return Pool(tuple(pooled), tuple(_common(pooled)))


def _others_follow(lines: Sequence[Line], servers: Sequence[Line]) -> bool:
    """Whether a server that stays as it is stands behind one that can be listed: it would come before that."""
    first = next((index for index, line in enumerate(lines) if line in servers), len(lines))
    return any(line.keyword != "default-server" and line not in servers for line in lines[first:])


def _without_effect(lines: Sequence[Line], held: Sequence[Param]) -> list[Note]:
    """Words that others replace wherever they could hold."""
    texts = {param.text for param in held}
    return [
        Note("left", line.number, f"{line.keyword} … {param.text}", "has no effect: another one replaces it")
        for line in lines
        for param in params(line.args if line.keyword == "default-server" else line.words[3:])
        if param.text not in texts
    ]


def defaults_words(taken: Taken) -> list[Param]:
    """The words of a set of defaults, if they can be said in one line."""
    lines = taken.family("default-server")
    words: list[Param] = []
    for line in lines:
        words = overlaid(words, params(line.args))
    if any(line.literal or line.prefix for line in lines) or any(param.key == "?" for param in words):
        return []
    taken.take(lines)
    taken.notes += _without_effect(lines, words)
    return words


def _is_sound(line: Line) -> bool:
    if line.prefix or len(line.words) < 3 or not all(word.plain for word in line.words[1:3]):
        return False
    port = read_statement([word.raw for word in line.words]).port
    sound = not port or str(int(port)) == port != "0"
    return sound and any(letter.isalnum() or letter == "*" for letter in line.values[1])


def _server(line: Line, behind: Sequence[Param]) -> Server:
    statement = read_statement([word.raw for word in line.words])
    return Server(
        line,
        statement.name,
        plain_address(statement.address),
        statement.port,
        tuple(overlaid(behind, params(line.words[3:]))),
    )


def plain_address(text: str) -> str:
    """An IP address in its usual form; another text stays as it is."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def _common(servers: Sequence[Server]) -> list[Param]:
    if not servers:
        return []
    # Without a port there is nothing that hactl would look at; it is left to HAProxy.
    own = _OWN if all(server.port or server.get("port") for server in servers) else (*_OWN, "check")
    shared = set.intersection(*({param.text for param in server.params} for server in servers))
    return [param for param in servers[0].params if param.key not in own and param.text in shared]


def listed(pool: Pool) -> list[Settings]:
    """The servers as `servers` has them."""
    common = {param.key for param in pool.common}
    return [_listed(server, common) for server in pool.servers]


def _listed(server: Server, common: set[str]) -> Settings:
    settings: Settings = {"name": server.name, "address": server.address}
    if server.port.isdigit():
        settings["port"] = int(server.port)
    words = []
    for param in server.params:
        if param.key in common:
            continue
        if (setting := _own_setting(param)) is None:
            words.append(param.text)
        else:
            settings.update(setting)
    if words:
        settings["words"] = " ".join(words)
    return settings


def _own_setting(param: Param) -> Settings | None:
    if not param.plain:
        return None
    match param.name:
        case "weight" if param.value.isdigit() and int(param.value) <= 256:
            return {"weight": int(param.value)}
        case "backup" | "disabled":
            return {param.name: True}
        case "cookie":
            return {"cookie": param.value}
        case _:
            return None


_NUMBERS = {
    "maxconn": ("server", "maxconn"),
    "maxqueue": ("server", "maxqueue"),
    "rise": ("check", "rise"),
    "fall": ("check", "fall"),
    "port": ("check", "port"),
    "weight": ("server", "weight"),
}
_DURATIONS = {
    "slowstart": ("server", "slowstart"),
    "tcp-ut": ("server", "dead_peer"),
    "inter": ("check", "inter"),
    "fastinter": ("check", "fastinter"),
    "downinter": ("check", "downinter"),
}
_TEXTS = {"addr": ("check", "address"), "check-sni": ("check", "sni")}
_SWITCHES: dict[str, tuple[str, str, Any]] = {
    "send-proxy": ("server", "send_proxy", "v1"),
    "send-proxy-v2": ("server", "send_proxy", "v2"),
    "check-ssl": ("check", "tls", True),
    "no-check-ssl": ("check", "tls", False),
    "check-send-proxy": ("check", "send_proxy", True),
}
_TLS = {
    "ssl": "",
    "verify": "verify",
    "ca-file": "ca_file",
    "verifyhost": "verify_host",
    "sni": "sni",
    "alpn": "alpn",
    "crt": "certificate",
}
_AGENT = {"agent-check": "", "agent-port": "port", "agent-inter": "inter", "agent-send": "send"}


def common_words(words: Sequence[Param], *, kind: bool) -> dict[str, Settings]:
    """The settings `server` and `check` from the words that are said once for all servers. `kind`: whether the kind of
    the check stands for the word `check`."""
    settings: dict[str, Settings] = {"server": {}, "check": {}}
    left = [word for word in words if not (kind and word.name == "check")]
    # Several kinds of the PROXY protocol add up: no setting says that.
    kinds = [word for word in words if word.key.startswith("send-proxy")]
    several = kinds if len(kinds) > 1 else []
    left = _tls(left, settings["server"])
    left = _agent(left, settings["check"])
    if kind and {word.text for word in left}.issuperset(_OBSERVE):
        settings["check"]["observe"] = True
        left = [word for word in left if word.text not in _OBSERVE]
    remaining = []
    for word in left:
        if word in several or (setting := _shared_setting(word)) is None:
            remaining.append(word.text)
        else:
            part, key, value = setting
            settings[part][key] = value
    if remaining:
        settings["server"]["words"] = " ".join(remaining)
    return settings


def _shared_setting(param: Param) -> tuple[str, str, Any] | None:
    if not param.plain:
        return None
    if place := _NUMBERS.get(param.name):
        least = 0 if param.name == "weight" else 1
        return (*place, int(param.value)) if param.value.isdecimal() and int(param.value) >= least else None
    if place := _DURATIONS.get(param.name):
        value = to_setting(param.value)
        return (*place, value) if value else None
    if place := _TEXTS.get(param.name):
        return (*place, param.value)
    if param.name == "on-marked-down" and param.value == "shutdown-sessions":
        return "server", "shutdown_sessions", True
    return _SWITCHES.get(param.name)


def _tls(words: list[Param], server: Settings) -> list[Param]:
    """TLS to the servers, where it says by itself whether they are verified."""
    by_name = {word.name: word for word in words if word.name in _TLS}
    verify = by_name["verify"].value if "verify" in by_name else ""
    sound = "ssl" in by_name and verify in ("none", "required") and all(word.plain for word in by_name.values())
    if not sound or (verify == "required" and "ca-file" not in by_name):
        return words
    server["tls"] = {key: by_name[name].value for name, key in _TLS.items() if key and name in by_name}
    return [word for word in words if word.name not in _TLS]


def _agent(words: list[Param], check: Settings) -> list[Param]:
    by_name = {word.name: word for word in words if word.name in _AGENT}
    if not {"agent-check", "agent-port"}.issubset(by_name) or not all(word.plain for word in by_name.values()):
        return words
    inter = to_setting(by_name["agent-inter"].value) if "agent-inter" in by_name else ""
    if inter is None or not by_name["agent-port"].value.isdigit():
        return words
    check["agent"] = {"port": int(by_name["agent-port"].value)}
    if inter:
        check["agent"]["inter"] = inter
    if "agent-send" in by_name:
        check["agent"]["send"] = by_name["agent-send"].value
    return [word for word in words if word.name not in _AGENT]
