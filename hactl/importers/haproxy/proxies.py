"""`defaults`, `listen`, `frontend` and `backend` sections as sets of defaults and services."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from hactl.haproxy.render.common import Side
from hactl.importers.haproxy.binds import header_binds, take_binds
from hactl.importers.haproxy.checks import check_kind, check_timeout, has_kind
from hactl.importers.haproxy.common import Settings, Taken, Where, common_settings
from hactl.importers.haproxy.durations import to_setting
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.obsolete import replaced_by
from hactl.importers.haproxy.servers import Pool, common_words, defaults_words, listed, take_servers
from hactl.importers.haproxy.source import Line, Section

_SIDES: dict[str, Side] = {"listen": "both", "frontend": "front", "backend": "back", "defaults": "both"}
RULES = {"acl": "acls", "tcp-request": "tcp_request", "http-request": "http_request", "http-response": "http_response"}
# Rules that may capture, in the order in which hactl writes them.
_CAPTURING = ("tcp-request", "http-request")
_SIZE = re.compile(r"[0-9]+[kKmMgG]?")


@dataclass(slots=True)
class DefaultsSet:
    """A set of defaults. `lines`: its own and, before them, those of the set that it is made from. `mode`: in force.
    `kind`: of its checks, if it has one. `words`: the lines that stay as they are."""

    name: str
    section: Section | None
    lines: list[Line] = field(default_factory=list)
    settings: Settings = field(default_factory=dict)
    mode: str = "tcp"
    kind: str = ""
    words: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class Proxy:
    """A proxy as a service. `behind`: its set of defaults; None: hactl's own. `reason`: why it cannot be a service."""

    section: Section
    behind: DefaultsSet | None
    service: Settings
    notes: list[Note]
    reason: str = ""

    @property
    def mode(self) -> str:
        """In force."""
        return str(self.service.get("mode") or (self.behind.mode if self.behind else "tcp"))


def defaults_settings(defaults: DefaultsSet) -> list[Note]:
    """Fill in a set's settings; the notes on its own lines."""
    taken = Taken(defaults.lines)
    where = Where("both", _mode(defaults.lines, "tcp"), shared=True)
    _of_hactl(taken)
    settings = common_settings(taken, where)
    check = {**check_timeout(taken), **check_kind(taken, inherited=False)}
    words = common_words(defaults_words(taken), kind=False)
    _add_parts(settings, check, words)
    defaults.mode, defaults.kind = where.mode, str(check.get("kind", ""))
    if taken.left:
        settings["extra"] = [line.text for line in taken.left]
    defaults.words = taken.left
    defaults.settings = settings
    own = {line.number for line in defaults.section.lines} if defaults.section else set()
    return [note for note in (*taken.notes, *_kept(taken.left)) if note.line in own]


def _of_hactl(taken: Taken) -> None:
    """The line that hactl writes into every set of defaults."""
    for line in taken.family("load-server-state-from-file"):
        if line.text == "load-server-state-from-file global" and not line.literal:
            taken.leave_out(line, "hactl keeps what is known of the servers over a reload")


def _add_parts(settings: Settings, check: Settings, words: dict[str, Settings]) -> None:
    for name, part in (("check", {**check, **words["check"]}), ("server", words["server"])):
        if part:
            settings[name] = part


def _kept(lines: list[Line]) -> list[Note]:
    return [Note("raw", line.number, line.text, replaced_by(line)) for line in lines]


def _mode(lines: list[Line], otherwise: str) -> str:
    modes = [line.values[0] for line in lines if line.keyword == "mode" and line.plain and len(line.args) == 1]
    return modes[-1] if modes else otherwise


def proxy(section: Section, behind: DefaultsSet | None) -> Proxy:
    """A `listen`, `frontend` or `backend` as a service."""
    lines = [*header_binds(section.header, section.arguments), *section.lines]
    taken = Taken(lines)
    where = Where(_SIDES[section.kind], _mode(lines, behind.mode if behind else "tcp"))
    _of_hactl(taken)
    service: Settings = {"name": section.name, "kind": section.kind}
    if section.kind == "listen":
        del service["kind"]
    if behind is not None:
        service["defaults"] = behind.name
    if where.front and (binds := take_binds(taken)):
        service["binds"] = binds
    service.update(common_settings(taken, where))
    reason = ""
    if where.back:
        pool = take_servers(taken)
        reason = "`default-server` stands between servers" if pool.mixed else ""
        service.update(_servers(taken, pool, where, behind))
    _rules(taken, where, service)
    if taken.left:
        service["extra"] = [line.text for line in taken.left]
    return Proxy(section, behind, service, [*taken.notes, *_kept(taken.left)], reason)


def _servers(taken: Taken, pool: Pool, where: Where, behind: DefaultsSet | None) -> Settings:
    """The servers, how they are checked, and how clients stay with one."""
    inherited = behind.kind if behind else "tcp"
    check = check_timeout(taken)
    if pool.checked:
        words = behind is not None and has_kind(behind.words)
        check.update(check_kind(taken, inherited=bool(inherited), words=words))
        if not inherited:
            check.setdefault("kind", "tcp")
    elif inherited:
        check["kind"] = "none"
    settings: Settings = {"members": False}
    _add_parts(settings, check, common_words(pool.common, kind=pool.checked))
    for name, part in (("cookie", _cookie(taken, pool) if where.http else {}), ("stick", _stick(taken))):
        if part:
            settings[name] = part
    if pool.servers:
        settings["servers"] = listed(pool)
    return settings


def _cookie(taken: Taken, pool: Pool) -> Settings:
    """`cookie`, where every server has a value for it."""
    lines = taken.family("cookie")
    if len(lines) != 1 or not lines[0].plain or not lines[0].args or not pool.cookies:
        return {}
    name, *words = lines[0].values
    modes = [word for word in words if word in ("insert", "rewrite", "prefix")]
    if len(modes) != 1:
        return {}
    taken.take(lines)
    others = [word for word in words if word not in (*modes, "indirect", "nocache")]
    cookie: Settings = {"name": name, "mode": modes[0]}
    cookie.update({word: word in words for word in ("indirect", "nocache")})
    return {**cookie, "words": " ".join(others)} if others else cookie


def _stick(taken: Taken) -> Settings:
    """`stick-table` and `stick on`, for a table that is not shared: the peers of the file are its own."""
    tables, sticks = taken.family("stick-table"), taken.family("stick")
    uses = [line for line in sticks if line.values[:1] == ("on",)]
    # The first `stick` that knows a server has its way: `stick on` is written before the others.
    if len(tables) != 1 or len(uses) != 1 or sticks[0] is not uses[0] or not tables[0].plain or uses[0].literal:
        return {}
    if has_condition(uses[0].values) and not _listable(taken.family("acl")):
        return {}
    words = list(tables[0].values)
    settings: Settings = {"on": uses[0].rest(2), "shared": False}
    while words:
        key, upto = words.pop(0), 1
        if key == "type" and words[1:2] == ["len"]:
            upto = 3
        value = " ".join(words[:upto])
        del words[:upto]
        if key == "expire":
            value = to_setting(value) or ""
        fits = key in ("type", "expire") or (key == "size" and _SIZE.fullmatch(value))
        if not fits or not value or key in settings:
            return {}
        settings[key] = value
    if not {"type", "size", "expire"}.issubset(settings):
        return {}
    taken.take([*tables, *uses])
    return settings


def _rules(taken: Taken, where: Where, service: Settings) -> None:
    """Conditions and rules in their order, where all of a kind can be listed. Where the conditions have to stay words,
    which come last, so do the rules: HAProxy wants a condition before the first rule that names it."""
    kinds = RULES | ({"use_backend": "use_backend"} if where.front else {})
    if not captures_in_order(taken.left):
        kinds = {keyword: name for keyword, name in kinds.items() if keyword not in _CAPTURING}
    for keyword, name in kinds.items() if _listable(taken.family("acl")) else ():
        lines = taken.family(keyword) if where.http or not keyword.startswith("http-") else []
        if lines and _listable(lines):
            service[name] = [line.rest() for line in lines]
            taken.take(lines)
    if not where.front:
        return
    last = taken.family("default_backend")
    if len(last) == 1 and last[0].plain and len(last[0].args) == 1:
        service["default_backend"] = last[0].values[0]
        taken.take(last)
    if where.http and (page := _stats(taken)):
        service["stats"] = page


def is_capture(line: Line) -> bool:
    """Whether it takes the next number of the captures of requests, by which rules and logs name them."""
    if line.keyword in ("capture", "declare"):
        return "request" in line.values[:2]
    return line.keyword in _CAPTURING and "capture" in line.values and "len" in line.values


def captures_in_order(lines: Sequence[Line]) -> bool:
    """Whether captures keep their numbers where rules are listed by their kind, and other lines that capture come
    last."""
    ranks = [(*_CAPTURING, line.keyword).index(line.keyword) for line in lines if is_capture(line)]
    return ranks == sorted(ranks)


def _listable(lines: list[Line]) -> bool:
    return not any(line.literal or line.prefix or len(line.words) < 2 for line in lines)


def has_condition(words: Sequence[str]) -> bool:
    """Whether these end in a condition."""
    return "if" in words or "unless" in words


def _stats(taken: Taken) -> Settings:
    """The statistics page, where it has nothing but an address and how often it is read anew."""
    lines = [line for line in taken.left if line.keyword == "stats"]
    names = [line.values[0] if line.args else "" for line in lines]
    if "uri" not in names or len(set(names)) != len(names) or not set(names) <= {"enable", "uri", "refresh"}:
        return {}
    by_name = {line.values[0]: line for line in lines}
    if any(not line.plain or len(line.args) != (1 if line.values[0] == "enable" else 2) for line in lines):
        return {}
    refresh = to_setting(by_name["refresh"].values[1], "s") if "refresh" in by_name else ""
    if refresh is None or not by_name["uri"].values[1].startswith("/"):
        return {}
    taken.take(lines)
    return {"uri": by_name["uri"].values[1], "refresh": refresh or None}
