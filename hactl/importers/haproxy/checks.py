"""How servers are checked: `option httpchk` and its kin, `http-check`, `tcp-check`, `timeout check`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from hactl.haproxy.render.checks import redis_role
from hactl.importers.haproxy.common import Settings, Taken, timeout
from hactl.importers.haproxy.source import Line

OPTIONS = {
    "httpchk": "http",
    "tcp-check": "tcp",
    "mysql-check": "mysql",
    "pgsql-check": "pgsql",
    "redis-check": "redis",
    "ldap-check": "ldap",
    "smtpchk": "smtp",
    "ssl-hello-chk": "tls",
}
# Not known to cluster.yaml: their lines stay words.
_OTHERS = ("external-check", "spop-check", "lb-agent-chk")
_HOST_IN_VERSION = re.compile(r"HTTP/1\.1\\r\\nHost:(?:\\ )?([\w.:-]+)", re.IGNORECASE)
_PATH = re.compile(r"/[\x21-\x7e]*")
_STATUS = re.compile(r"[0-9,-]+")


def check_timeout(taken: Taken) -> Settings:
    """`timeout check`."""
    value = timeout(taken, "check")
    return {"timeout": value} if value else {}


def _option(line: Line) -> str:
    name = line.values[0] if line.keyword == "option" and line.args else ""
    return name if name in OPTIONS or name in _OTHERS else ""


def has_kind(lines: Iterable[Line]) -> bool:
    """Whether one of these says how servers are checked."""
    return any(_option(line) for line in lines)


def checks_handed_on(parent: Iterable[Line], own: Sequence[Line]) -> Iterator[Line]:
    """The lines of a set of defaults that hold in one that is made from it, and has the lines `own`: a set that says
    how servers are checked, or has a step of a check, inherits no step. Source: the behaviour of HAProxy 2.6."""
    option = next((line for line in reversed(own) if _option(line)), None)
    steps = {line.keyword for line in own if _is_step(line)}
    if option is not None and _option(option) != "tcp-check":
        steps |= {"http-check", "tcp-check"}
    for line in parent:
        if (_is_step(line) and line.keyword in steps) or (_option(line) and option is not None):
            continue
        own_request = _option(line) == "httpchk" and "http-check" in steps
        yield replace(line, words=line.words[:2]) if own_request else line


def _is_step(line: Line) -> bool:
    return line.keyword == "tcp-check" or (
        line.keyword == "http-check" and line.values[:1] not in (("disable-on-404",), ("send-state",))
    )


def check_kind(taken: Taken, *, inherited: bool, words: bool = False) -> Settings:
    """Kind and request of the check; nothing where the lines have to stay words, or there are none. `inherited`: the
    set of defaults has a kind; `words`: it has one in words."""
    options = [line for line in taken.left if _option(line)]
    rules = [line for line in taken.left if line.keyword in ("http-check", "tcp-check")]
    if len(options) != 1 or any(line.literal or line.prefix for line in (*options, *rules)):
        return {}
    option, name = options[0], _option(options[0])
    wanted = {"httpchk": "http-check", "tcp-check": "tcp-check"}.get(name, "")
    if any(line.keyword != wanted for line in rules) or name in _OTHERS:
        return {}
    match name:
        case "httpchk":
            settings = _http(option, rules)
        case "tcp-check":
            if words and not rules:
                return {}
            settings = _tcp(rules)
            if not rules and not inherited:
                taken.leave_out(option, "a server that is checked is connected to anyway")
                return {}
        case "mysql-check" | "pgsql-check":
            settings = _with_argument(option, "user", "user")
        case "smtpchk":
            settings = _with_argument(option, "EHLO", "host")
        case _:
            settings = {"kind": OPTIONS[name]} if option.plain and len(option.args) == 1 else {}
    if settings:
        taken.take([option, *rules])
    return settings


def _http(option: Line, rules: Sequence[Line]) -> Settings:
    """The request, from the option's words or from `http-check send`."""
    words = [word.raw for word in option.args[1:]]
    sends = [line for line in rules if line.values[:1] == ("send",)]
    others = [line for line in rules if line not in sends]
    if not words and len(sends) == 1 and (request := _sent(sends[0])):
        return _with_answers(request, others)
    if sends or any(line.values[:1] == ("connect",) for line in rules):
        # Said step by step: the option's own words do not count.
        return {} if words else {"kind": "http", "lines": [line.text for line in rules]}
    request = _request(words)
    return _with_answers(request, others) if request else {}


def _with_answers(request: Settings, rules: Sequence[Line]) -> Settings:
    """A check's request and its good answers. Where these take lines, `host` becomes one, too."""
    answers = _answers(rules)
    if "host" not in request or "lines" not in answers:
        return {**request, **answers}
    send = f"http-check send meth {request['method']} uri {request['path']} ver HTTP/1.1 hdr Host {request['host']}"
    return {"kind": "http", "lines": [send, *answers["lines"]]}


def _request(words: Sequence[str]) -> Settings:
    """`[METHOD] PATH [VERSION]`. Without a path HAProxy asks for `/`, without a method by OPTIONS."""
    if len(words) > 3 or any(re.search(r"""["'\\$]""", word) for word in words[:2]):
        return {}
    method, path = ("OPTIONS", *words) if len(words) == 1 else (*words[:2], "OPTIONS", "/")[:2]
    if not _PATH.fullmatch(path):
        return {}
    request = {"kind": "http", "method": method, "path": path}
    version = words[2] if len(words) == 3 else "HTTP/1.0"
    if host := _HOST_IN_VERSION.fullmatch(version):
        return {**request, "host": host[1]}
    return request if version == "HTTP/1.0" else {}


def _sent(line: Line) -> Settings:
    """`http-check send meth M uri U ver HTTP/1.1 hdr Host H`, in any order, and no more."""
    words = list(line.values[1:])
    given: dict[str, str] = {}
    while words:
        key = words.pop(0).lower()
        if key == "hdr" and len(words) > 1 and words[0].lower() == "host":
            key = words.pop(0).lower()
        if key not in ("meth", "uri", "ver", "host") or not words or key in given:
            return {}
        given[key] = words.pop(0)
    sound = line.plain and set(given) == {"meth", "uri", "ver", "host"} and given["ver"] == "HTTP/1.1"
    if not sound or not _PATH.fullmatch(given["uri"]):
        return {}
    return {"kind": "http", "method": given["meth"], "path": given["uri"], "host": given["host"]}


def _answers(rules: Sequence[Line]) -> Settings:
    """The good answers."""
    status = [line for line in rules if line.values[:2] == ("expect", "status")]
    if len(rules) == len(status) == 1 and len(status[0].args) == 3 and _STATUS.fullmatch(status[0].values[2]):
        return {"expect_status": status[0].values[2]}
    return {"lines": [line.text for line in rules]} if rules else {}


def _tcp(rules: Sequence[Line]) -> Settings:
    role = _role(rules)
    if role:
        return {"kind": "redis", "role": role}
    return {"kind": "tcp", "lines": [line.text for line in rules]} if rules else {"kind": "tcp"}


def _role(rules: Sequence[Line]) -> str:
    """`master` or `slave` where the lines ask redis for it, the way hactl does."""
    texts = ["option tcp-check", *(line.text for line in rules)]
    return next((role for role in ("master", "slave") if texts == list(redis_role(role))), "")


def _with_argument(option: Line, word: str, setting: str) -> Settings:
    """`option mysql-check [user NAME]` and its like: `word` is the one before the argument."""
    name, *values = option.values
    if not option.plain or (values and (len(values) != 2 or values[0] != word)):
        return {}
    return {"kind": OPTIONS[name], **({setting: values[1]} if values else {})}


def request_of(line: Line, requests: Sequence[Line]) -> tuple[str, ...]:
    """Method, path and host of the request that `option httpchk` and `http-check send`, all that are there, make; on
    the first of these lines, () on others, and where they make none that hactl has words for."""
    if line is not requests[0]:
        return ()
    options = [request for request in requests if request.keyword == "option"]
    sends = [request for request in requests if request.keyword == "http-check"]
    if len(options) != 1 or len(options) + len(sends) != len(requests) or len(sends) > 1:
        return ()
    words = [word.raw for word in options[0].args[1:]]
    settings = _sent(sends[0]) if sends and not words else {} if sends else _request(words)
    return (settings["method"], settings["path"], settings.get("host", "")) if settings else ()
