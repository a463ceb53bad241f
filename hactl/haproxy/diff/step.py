"""The smallest step from one configuration of HAProxy's to another: nothing, commands at run time, or a reload. Pure.

At run time a server's weight, address and whether it is in use can be changed, and servers can be added and removed;
every other difference is a reload. So are doubtful cases: a line that is not understood, a file with conditions
(`.if`), a name that is resolved.

Source: HAProxy's management guide, *Unix Socket commands*; the limits are those of 2.6.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hactl.haproxy.diff.parse import Section, sections
from hactl.haproxy.diff.servers import DYNAMIC, WITH_SERVERS, Option, Proxy, Server, frame, proxies
from hactl.haproxy.words import SPACES, line_words

Verb = Literal["weight", "address", "ready", "maint", "shut", "add", "check", "delete"]
Version = tuple[int, int]

# Servers that are added keep their options and checks since then.
_DYNAMIC_SERVERS_SINCE: Version = (2, 5)
# A weight can be changed to any other only with these: `hash-type consistent` makes the last four so.
_WEIGHS = ("", "roundrobin", "leastconn", "first", "random")
_HASHES = ("source", "uri", "url_param", "hdr", "rdp-cookie", "hash")
# Where it does not matter in which order servers stand, and so which number each has.
_WITHOUT_ORDER = ("", "roundrobin", "leastconn", "random")
# In the runtime API's commands these have another meaning than in a file.
_NOT_IN_A_COMMAND = re.compile(r"[\"'\\;#$<]")
_MOST_REASONS = 3
_TEXTS: dict[Verb, str] = {
    "weight": "set server {} weight {}",
    "address": "set server {} addr {}",
    "ready": "set server {} state ready",
    "maint": "set server {} state maint",
    "shut": "shutdown sessions server {}",
    "add": "add server {} {}",
    "check": "enable health {}",
    "delete": "del server {}",
}


@dataclass(frozen=True, slots=True)
class Command:
    """One command for one server. `argument`: the weight, `ADDRESS port PORT`, or the new server's line from its
    address on."""

    verb: Verb
    proxy: str
    server: str
    argument: str = ""

    @property
    def text(self) -> str:
        """As the runtime API takes it."""
        return _TEXTS[self.verb].format(f"{self.proxy}/{self.server}", self.argument)


@dataclass(frozen=True, slots=True)
class Step:
    """The step to take. `commands`: of `runtime`, in their order. `reasons`: for a reload, why; for `runtime` the
    changes, for people."""

    kind: Literal["none", "runtime", "reload"]
    commands: tuple[Command, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The reasons in one line, the first ones if there are many."""
        more = len(self.reasons) - _MOST_REASONS
        return "; ".join(self.reasons[:_MOST_REASONS]) + (f"; and {more} more" if more > 0 else "")


@dataclass(slots=True)
class _Changes:
    """The differences, collected."""

    switch: list[Command] = field(default_factory=list)
    brings_in: list[Command] = field(default_factory=list)
    takes_out: list[Command] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def decide_step(old: str, new: str, version: Version) -> Step:
    """How HAProxy of this version comes from running with `old` to running with `new`."""
    was, wanted = sections(old), sections(new)
    if was == wanted:
        return Step("none")
    if reasons := _other_sections(was, wanted) or _conditions(wanted):
        return Step("reload", (), tuple(reasons))
    changed = [place for place, section in enumerate(wanted) if section != was[place]]
    changes = _Changes()
    before, after = proxies(was, changed), proxies(wanted, changed)
    named = _named_elsewhere(wanted) if before else frozenset()
    for place in changed:
        if differing := _differing_lines(frame(was[place]), frame(wanted[place])):
            changes.reasons += [f"{_title(wanted[place])}: {line}" for line in differing]
        elif place in before:
            _compare(before[place], after[place], version, named, changes)
    if changes.reasons:
        return Step("reload", (), tuple(changes.reasons))
    commands = (*changes.switch, *changes.brings_in, *changes.takes_out)
    return Step("runtime", commands, tuple(changes.notes)) if commands else Step("none")


def switch_first(old: str, new: str) -> str:
    """`old`, but with the writer that `new` has. If that takes no reload, the switch need not wait for the other
    changes, nor fail with them. `old` itself where no writer changes."""
    current, wanted = sections(old), sections(new)
    was = {(section.kind, section.name): place for place, section in enumerate(current)}
    swaps: dict[tuple[str, str], dict[str, str]] = {}
    for place, section in enumerate(wanted):
        key = (section.kind, section.name)
        if key in was and section.kind in WITH_SERVERS and section != current[was[key]]:
            before, after = proxies(current, [was[key]])[was[key]], proxies(wanted, [place])[place]
            if swap := _switched(before, after):
                swaps[key] = swap
    if not swaps or _conditions(current):
        return old
    return "\n".join(_swapped(old.split("\n"), current, swaps))


def _switched(before: Proxy, after: Proxy) -> dict[str, str]:
    """Old lines of servers, and the same with the use that they have in the new section, if it has one writer."""
    new = {server.name: server for server in after.servers}
    swap = {}
    for server in before.servers:
        other = new.get(server.name)
        out = other is None or other.disabled
        # One that has moved as well comes in by the step that takes it there.
        stays = other is not None and (server.host, server.port) == (other.host, other.port)
        if server.shuts_sessions and server.own is not None and out != server.disabled and (out or stays):
            alike = other is not None and stays and other.own is not None and _kept(server.own) == _kept(other.own)
            swap[server.line] = other.line if other is not None and alike else _with_use(server, out)
    return swap


def _with_use(server: Server, out: bool) -> str:
    kept = [option for option in server.own or () if option[0] not in ("disabled", "enabled")]
    words = [*line_words(server.line)[:3], *(word for option in kept for word in option)]
    return " ".join([*words, "disabled" if out else "enabled"])


def _swapped(
    lines: Sequence[str], current: Sequence[Section], swaps: dict[tuple[str, str], dict[str, str]]
) -> Iterable[str]:
    heads = {(section.kind, section.name) for section in current}
    swap: dict[str, str] = {}
    for line in lines:
        words = line_words(line)
        head = (words[0], words[1] if len(words) > 1 else "") if words else ("", "")
        if head in heads:
            swap = swaps.get(head, {})
        stripped = line.strip(SPACES)
        yield line.replace(stripped, swap[stripped]) if stripped in swap else line


def _other_sections(was: Sequence[Section], wanted: Sequence[Section]) -> list[str]:
    before = [(section.kind, section.name, section.arguments) for section in was]
    after = [(section.kind, section.name, section.arguments) for section in wanted]
    if before == after:
        return []
    gone, come = Counter(before) - Counter(after), Counter(after) - Counter(before)
    titles = [f"{_words(*section)} is new" for section in come] + [f"{_words(*section)} is gone" for section in gone]
    return titles or ["the sections stand in another order"]


def _conditions(file_sections: Sequence[Section]) -> list[str]:
    lines = [line for section in file_sections for line in section.lines if line.startswith(".")]
    return [f"the file has conditions: `{lines[0]}`"] if lines else []


def _words(kind: str, name: str, arguments: tuple[str, ...] = ()) -> str:
    return " ".join(word for word in (kind, name, *arguments) if word)


def _title(section: Section | Proxy) -> str:
    return _words(section.kind, section.name)


def _differing_lines(old: tuple[str, ...], new: tuple[str, ...]) -> list[str]:
    if old == new:
        return []
    come, gone = Counter(new) - Counter(old), Counter(old) - Counter(new)
    return [f"`{line}` is new" for line in come] + [f"`{line}` is gone" for line in gone] or ["lines in another order"]


def _named_elsewhere(file_sections: Sequence[Section]) -> frozenset[tuple[str, str]]:
    """Servers, by proxy and name, that something else in the file names: they cannot be removed."""
    named: set[tuple[str, str]] = set()
    for section in file_sections:
        for line in section.lines:
            words = line_words(line)
            if words[0] == "use-server" and len(words) > 1:
                named.add((section.name, words[1]))
            for place, word in enumerate(words[:-1]):
                if word == "track":
                    proxy, slash, server = words[place + 1].rpartition("/")
                    named.add((proxy if slash else section.name, server))
    return frozenset(named)


def _compare(
    before: Proxy, after: Proxy, version: Version, named: frozenset[tuple[str, str]], changes: _Changes
) -> None:
    old = {server.name: server for server in before.servers}
    new = {server.name: server for server in after.servers}
    title = _title(after)
    if len(old) != len(before.servers) or len(new) != len(after.servers):
        changes.reasons.append(f"{title}: two servers have one name")
        return
    ordered = _balance(after) not in _WITHOUT_ORDER
    common = [(server, new[name]) for name, server in old.items() if name in new]
    if ordered and [was.name for was, _ in common] != [name for name in new if name in old]:
        changes.reasons.append(f"{title}: servers in another order, which counts with balance {_balance(after)}")
    gone = [(server, new.get(name)) for name, server in old.items()]
    switches = any(_goes_out(was, now) and was.shuts_sessions for was, now in gone)
    here = _Changes()
    for was, now in common:
        if was != now:
            _change(after, was, now, here)
    for server in new.values():
        if server.name not in old:
            _add(after, server, version, here)
    for server in old.values():
        if server.name not in new:
            _remove(after, server, version, named, here)
    changes.reasons += [f"{title}: {reason}" for reason in here.reasons]
    changes.notes += [f"{title}: {note}" for note in here.notes]
    if switches:
        changes.switch += here.takes_out + here.brings_in
    else:
        changes.brings_in += here.brings_in
        changes.takes_out += here.takes_out


def _balance(proxy: Proxy) -> str:
    return (proxy.last("balance") or ("",))[0].partition("(")[0]


def _goes_out(old: Server, new: Server | None) -> bool:
    return (new is None or new.disabled) and not old.disabled


def _same_but_for_state(old: Server, new: Server) -> bool:
    """Whether a server differs in its address, weight and use alone."""
    return old.understood and new.understood and _kept(old.options) == _kept(new.options)


def _kept(options: Iterable[Option]) -> list[Option]:
    return [option for option in options if option[0] not in ("weight", "disabled", "enabled")]


def _change(proxy: Proxy, old: Server, new: Server, changes: _Changes) -> None:
    """The changes of a server that stays."""
    if not _same_but_for_state(old, new) or old.weight is None or new.weight is None:
        changes.reasons.append(f"`{old.line}` has become `{new.line}`")
        return
    if (old.host, old.port) != (new.host, new.port):
        if not (old.is_fixed and new.is_fixed):
            changes.reasons.append(f"the address of {old.name} is {new.host}:{new.port} and was {old.host}:{old.port}")
            return
        _note(changes, "address", proxy, new, f"{new.host} port {new.port}", f"{new.name} is at {new.host}:{new.port}")
    if old.weight != new.weight:
        if not _may_weigh(proxy, old.weight, new.weight):
            changes.reasons.append(f"the weight of {new.name}, which balance {_balance(proxy)} fixes")
            return
        _note(changes, "weight", proxy, new, str(new.weight), f"{new.name} weighs {new.weight}, not {old.weight}")
    if old.disabled != new.disabled:
        _note(changes, "maint" if new.disabled else "ready", proxy, new, "", f"{new.name} is {_use(new)}")
        if new.disabled and old.shuts_sessions:
            changes.takes_out.append(Command("shut", proxy.name, new.name))


def _note(changes: _Changes, verb: Verb, proxy: Proxy, server: Server, argument: str, note: str) -> None:
    command = Command(verb, proxy.name, server.name, argument)
    less = verb == "maint" or (verb == "weight" and argument == "0")
    (changes.takes_out if less else changes.brings_in).append(command)
    changes.notes.append(note)


def _use(server: Server) -> str:
    return "out of use" if server.disabled else "in use"


def _may_weigh(proxy: Proxy, old: int, new: int) -> bool:
    """Whether a weight may be changed. Where the algorithm fixes them it may be to 0 and back."""
    balance = _balance(proxy)
    if balance in _WEIGHS or (balance in _HASHES and proxy.last("hash-type")[:1] == ("consistent",)):
        return True
    return new == 0 or old == 0


def _cannot(proxy: Proxy, version: Version) -> str:
    """Why servers can be neither added nor removed; "" if they can."""
    if version < _DYNAMIC_SERVERS_SINCE:
        return f"HAProxy {version[0]}.{version[1]} does so only by a reload"
    if _balance(proxy) not in _WITHOUT_ORDER:
        return f"their order counts with balance {_balance(proxy)}"
    return ""


def _add(proxy: Proxy, server: Server, version: Version, changes: _Changes) -> None:
    """A server that is new: with all its options, since it inherits none."""
    why = _cannot(proxy, version)
    if not why and proxy.last("dynamic-cookie-key"):
        why = "its cookie is made at the start"
    if not why and not server.understood:
        why = f"`{server.line}` is not understood"
    if not why and not server.is_fixed:
        why = "it has no fixed address"
    if not why and (foreign := [option[0] for option in server.options if option[0] not in DYNAMIC]):
        why = f"`{foreign[0]}` cannot be given to one at run time"
    if not why and any(_NOT_IN_A_COMMAND.search(word) for option in server.options for word in option):
        why = "its line has characters that the runtime API reads in another way"
    if why:
        changes.reasons.append(f"server {server.name} is new: {why}")
        return
    words = [word for option in server.options if option[0] not in ("disabled", "enabled") for word in option]
    host = f"[{server.host}]" if ":" in server.host else server.host
    changes.brings_in.append(Command("add", proxy.name, server.name, " ".join([f"{host}:{server.port}", *words])))
    if server.has("check"):
        changes.brings_in.append(Command("check", proxy.name, server.name))
    if not server.disabled:
        changes.brings_in.append(Command("ready", proxy.name, server.name))
    changes.notes.append(f"server {server.name} is new")


def _remove(
    proxy: Proxy, server: Server, version: Version, named: frozenset[tuple[str, str]], changes: _Changes
) -> None:
    """A server that is gone: put out of use; it goes when its last session has."""
    why = _cannot(proxy, version)
    if not why and (server.inherited is None or server.own is None):
        why = f"`{server.line}` is not understood"
    if not why and (proxy.name, server.name) in named:
        why = "something else names it"
    if not why and (server.has("cookie") or server.has("track") or server.has("agent-check")):
        why = "a cookie, an agent or the check of another belongs to it"
    if why:
        changes.reasons.append(f"server {server.name} is gone: {why}")
        return
    changes.takes_out.append(Command("maint", proxy.name, server.name))
    if server.shuts_sessions:
        changes.takes_out.append(Command("shut", proxy.name, server.name))
    changes.takes_out.append(Command("delete", proxy.name, server.name))
    changes.notes.append(f"server {server.name} is gone")
