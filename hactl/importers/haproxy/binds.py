"""`bind` lines, and addresses on the first line of a section, which old files have there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hactl.config.services.fields import bind_address
from hactl.haproxy.diff.statements import read_statement
from hactl.haproxy.split_words import Word
from hactl.importers.haproxy.common import Settings, Taken
from hactl.importers.haproxy.source import PROXIES, Line

_ONE = {
    "crt": "certificates",
    "crt-list": "crt_list",
    "ca-file": "ca_file",
    "verify": "verify",
    "alpn": "alpn",
    "ssl-min-ver": "min_version",
    "ciphers": "ciphers",
    "ciphersuites": "ciphersuites",
}
_FILES = ("crt", "crt-list", "ca-file")
_VERSIONS = ("TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_V6 = re.compile(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")


def take_binds(taken: Taken) -> list[Settings | str]:
    """Take the binds out of a section; those that hactl cannot have as settings stay."""
    binds: list[Settings | str] = []
    for line in taken.family("bind"):
        if line.literal or line.prefix or not line.args or not line.args[0].plain:
            continue
        addresses = [normal_address(address) for address in _addresses(line)]
        if all(_is_sound(address) for address in addresses):
            settings = bind_settings(line.args[1:])
            binds += [{"address": address, **settings} if settings else address for address in addresses]
            taken.take([line])
    return binds


def _addresses(line: Line) -> list[str]:
    statement = read_statement([word.raw for word in line.words])
    return [f"{statement.address}:{statement.port}"] if statement.port else statement.address.split(",")


def normal_address(text: str) -> str:
    """The address of a bind as hactl writes it: `*:80` for `:80`, brackets around an IPv6 address."""
    if "@" in text or text.startswith(("/", "[")):
        return text
    host, colon, ports = text.rpartition(":")
    if not colon:
        return text
    if not host:
        return f"*:{ports}"
    return f"[{host}]:{ports}" if _V6.fullmatch(host) else text


def _is_sound(address: str) -> bool:
    try:
        bind_address(address)
    except ValueError:
        return False
    return True


def bind_settings(words: Sequence[Word]) -> Settings:
    """The settings of a bind beside its address. All in words when the part about TLS is not as hactl writes it."""
    tls: Settings = {}
    settings: Settings = {}
    others: list[str] = []
    at = 0
    ends_tls = False
    while at < len(words):
        name, value = words[at].value, words[at + 1] if at + 1 < len(words) else None
        at += 1
        if name == "ssl":
            ends_tls = True
        elif name == "accept-proxy":
            settings["accept_proxy"] = True
        elif name in _ONE and value is not None:
            at += 1
            # The first certificate is for a client that asks for no name: hactl writes those of the list last.
            if not _fits(name, value, tls) or (name == "crt" and "crt_list" in tls):
                return {"words": " ".join(word.raw for word in words)}
            if name == "crt":
                tls.setdefault("certificates", []).append(value.value)
            else:
                tls[_ONE[name]] = value.value
        else:
            others.append(words[at - 1].raw)
    complete = ends_tls and ("certificates" in tls or "crt_list" in tls)
    if (tls or ends_tls) and not (complete and (tls.get("verify", "none") == "none" or "ca_file" in tls)):
        return {"words": " ".join(word.raw for word in words)}
    if tls:
        settings["tls"] = tls
    if others:
        settings["words"] = " ".join(others)
    return settings


def _fits(name: str, value: Word, tls: Settings) -> bool:
    if not value.plain or (name != "crt" and _ONE[name] in tls):
        return False
    if name in _FILES:
        return value.value.startswith("/")
    if name == "verify":
        return value.value in ("none", "optional", "required")
    return name != "ssl-min-ver" or value.value in _VERSIONS


def header_binds(header: Line, addresses: Sequence[Word]) -> list[Line]:
    """The addresses on a proxy's first line as `bind` lines."""
    if header.keyword not in PROXIES:
        return []
    return [Line(header.number, (Word("bind", "bind"), word)) for word in addresses]
