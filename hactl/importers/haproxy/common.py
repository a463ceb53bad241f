"""The directives that sets of defaults and services share, as the settings of cluster.yaml.

A directive becomes a setting only where hactl writes the very same for it. All of one family (`option redispatch`,
`no option redispatch`, …) become one setting or stay words: the last of them counts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hactl.haproxy.render.common import KEEP_ALIVE, TIMEOUTS, Side, Sided, tcp_keepalive
from hactl.importers.haproxy.durations import to_setting
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.source import Line

Settings = dict[str, Any]
T = TypeVar("T")

Converter = Callable[["Where", "Line"], Settings | None]

_KEEP_ALIVE = {word: setting for setting, word in KEEP_ALIVE.items()}
# Directives for the format of the log, in hactl's order.
LOG_FORMATS = ("option tcplog", "option httplog", "log-format", "option httpslog")
_ALGORITHMS = ("roundrobin", "static-rr", "leastconn", "first", "source")


@dataclass(frozen=True, slots=True)
class Where(Sided):
    """Where directives stand. `mode`: in force there; `shared`: it is a set of defaults, whose proxies may have another
    mode."""

    mode: str
    shared: bool = False

    def has(self, side: Side) -> bool:
        """Whether it has that side; `both`: any will do."""
        return side == "both" or (self.front if side == "front" else self.back)

    @property
    def http(self) -> bool:
        """Directives about requests are in force; elsewhere HAProxy knows the words, and a service has none for
        them."""
        return self.shared or self.mode == "http"


class Taken:
    """The lines of a section, of which mappers take those that they can express. The others stay words."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.left: list[Line] = list(lines)
        self.notes: list[Note] = []

    def family(self, name: str) -> list[Line]:
        """The lines of a family that are still there."""
        return [line for line in self.left if family(line) == name]

    def take(self, lines: Iterable[Line]) -> None:
        """These are expressed by settings."""
        taken = [id(line) for line in lines]
        self.left = [line for line in self.left if id(line) not in taken]

    def leave_out(self, line: Line, why: str) -> None:
        """Not carried over, for a good reason."""
        self.take([line])
        self.notes.append(Note("left", line.number, line.text, why))


def family(line: Line) -> str:
    """Which lines replace each other: `timeout client`, `option redispatch`, `balance`."""
    pairs = ("timeout", "option", "stats", "http-check", "tcp-check")
    if line.keyword in pairs and len(line.words) > 1:
        name = f"{line.keyword} {line.words[1].value}"
        return "keep-alive" if name.removeprefix("option ") in _KEEP_ALIVE else name
    return line.keyword


def common_settings(taken: Taken, where: Where) -> Settings:
    """The settings of `Common` but for checks, servers and `extra`."""
    settings: Settings = {}
    settled = _log_formats_as_words(taken, where)
    for name, convert in _CONVERTERS.items():
        if name not in settled:
            settings |= last(taken, name, functools.partial(convert, where)) or {}
    settings.update(_logging(taken))
    settings.update(_tcp_keepalive(taken, where))
    if times := _timeouts(taken, where):
        settings["timeouts"] = times
    return settings


def _log_formats_as_words(taken: Taken, where: Where) -> Collection[str]:
    """The families of which the last line says how the log looks, where in hactl's order another one would be last."""
    ranks = []
    for line in taken.left:
        if (name := family(line)) in LOG_FORMATS:
            convert = _CONVERTERS.get(name)
            fits = convert and all(not same.literal and convert(where, same) for same in taken.family(name))
            ranks.append(LOG_FORMATS.index(name) if fits else len(LOG_FORMATS))
    return () if ranks == sorted(ranks) else LOG_FORMATS


def last(taken: Taken, name: str, convert: Callable[[Line], T | None]) -> T | None:
    """The setting of a family; None where there is none, or one of its lines has to stay as it is."""
    lines = taken.family(name)
    values = [None if line.literal else convert(line) for line in lines]
    if not lines or any(value is None for value in values):
        return None
    if name == "keep-alive" and len({line.text for line in lines}) > 1:
        return None
    taken.take(lines[-1:])
    drop_repeated(taken, lines)
    return values[-1]


def drop_repeated(taken: Taken, lines: Sequence[Line]) -> None:
    """All but the last of a family are without effect."""
    for line in lines[:-1]:
        taken.leave_out(line, f"has no effect: line {lines[-1].number} says it again")


def _word(line: Line, allowed: Iterable[str]) -> str | None:
    return line.values[0] if line.plain and len(line.args) == 1 and line.values[0] in allowed else None


def _mode(_: Where, line: Line) -> Settings | None:
    mode = _word(line, ("tcp", "http"))
    return {"mode": mode} if mode else None


def number(line: Line) -> int | None:
    """The only argument, if it is a whole number above zero."""
    text = line.values[0] if line.plain and len(line.args) == 1 else ""
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def _number(name: str, side: Side = "both") -> Converter:
    def convert(where: Where, line: Line) -> Settings | None:
        value = number(line)
        return {name: value} if where.has(side) and value is not None else None

    return convert


def _balance(where: Where, line: Line) -> Settings | None:
    if not where.back or not line.plain or not line.args:
        return None
    if line.values[0].startswith(("hdr(", "uri", "url_param")) and not where.http:
        return None
    first, arguments = line.values[0], " ".join(line.values[1:])
    name, _, argument = first.partition("(")
    argument = argument.removesuffix(")")
    if name in ("hdr", "random"):
        if arguments or (name == "hdr") > bool(argument):
            return None
        return {"balance": name, **({"balance_by": argument} if argument else {})}
    if first in ("uri", "url_param"):
        return {"balance": first, **({"balance_by": arguments} if arguments else {})}
    return {"balance": first} if first in _ALGORITHMS and not arguments else None


def _hash_type(where: Where, line: Line) -> Settings | None:
    return {"hash_type": line.rest()} if where.back and line.plain and line.args else None


def _switch(name: str, setting: str, side: Side, *, argument: str = "") -> Converter:
    """An option that is on, or off by `no`."""
    expected = (name, argument) if argument else (name,)

    def convert(where: Where, line: Line) -> Settings | None:
        if not where.has(side) or line.prefix not in ("", "no") or any(not word.plain for word in line.words):
            return None
        if line.prefix:
            return {setting: False} if line.values == (name,) else None
        return {setting: True} if line.values == expected else None

    return convert


def _keep_alive(where: Where, line: Line) -> Settings | None:
    fits = where.http and line.plain and len(line.args) == 1
    return {"keep_alive": _KEEP_ALIVE[line.values[0]]} if fits else None


def _forwardfor(where: Where, line: Line) -> Settings | None:
    return {"forwardfor": True} if where.http and line.plain and len(line.args) == 1 else None


def _detailed_log(mode: str) -> Converter:
    def convert(where: Where, line: Line) -> Settings | None:
        fits = where.front and where.mode == mode and line.plain and line.values == (f"{mode}log",)
        return {"detailed_log": True} if fits else None

    return convert


def _log_format(where: Where, line: Line) -> Settings | None:
    fits = where.front and not line.prefix and len(line.args) == 1
    return {"log_format": line.rest()} if fits else None


_CONVERTERS: dict[str, Converter] = {
    "mode": _mode,
    "balance": _balance,
    "hash-type": _hash_type,
    "retries": _number("retries", "back"),
    "option redispatch": _switch("redispatch", "redispatch", "back", argument="1"),
    "maxconn": _number("maxconn", "front"),
    "keep-alive": _keep_alive,
    "option forwardfor": _forwardfor,
    "option dontlognull": _switch("dontlognull", "dontlognull", "front"),
    "option allbackups": _switch("allbackups", "all_backups", "back"),
    "option tcplog": _detailed_log("tcp"),
    "option httplog": _detailed_log("http"),
    "log-format": _log_format,
}


def _logging(taken: Taken) -> Settings:
    """`log` lines add up, and `no log` forgets those before it and those of the defaults."""
    lines = taken.family("log")
    if [line.text for line in lines] == ["no log"]:
        taken.take(lines)
        return {"log": []}
    if not lines or any(line.prefix or line.literal or not line.args for line in lines):
        return {}
    taken.take(lines)
    return {"log": [line.rest() for line in lines]}


def _tcp_keepalive(taken: Taken, where: Where) -> Settings:
    """One setting for eight lines; the directives stay words unless they are these."""
    if taken.family("option tcpka"):
        return {}  # The same for both sides, and where it stands counts.
    wanted, off = (list(tcp_keepalive(on, where)) for on in (True, False))
    lines = [line for line in taken.left if line.plain and line.text in wanted]
    if sorted(line.text for line in lines) == sorted(wanted):
        taken.take(lines)
        return {"tcp_keepalive": True}
    offs = [line for line in taken.left if line.text in off]
    if len({line.text for line in offs}) == len(offs) == len(off) and not lines:
        taken.take(offs)
        return {"tcp_keepalive": False}
    return {}


def _timeouts(taken: Taken, where: Where) -> Settings:
    sides = ["request", *(side for side, there in (("front", where.front), ("back", where.back)) if there)]
    values = {name: timeout(taken, name) for side in sides for name, its in TIMEOUTS.items() if its == side}
    return {name.replace("-", "_"): value for name, value in values.items() if value}


def timeout(taken: Taken, name: str) -> str | None:
    """`timeout NAME`."""
    return last(
        taken,
        f"timeout {name}",
        lambda line: to_setting(line.values[1]) if line.plain and len(line.args) == 2 else None,
    )
