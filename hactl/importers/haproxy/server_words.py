"""The words of `server` and `default-server` lines: the number of their arguments, and those that hold in the end.

Source: HAProxy's configuration manual, 2.6 to 3.2, 5.2 (Server and default-server options).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hactl.haproxy.split_words import Word
from hactl.importers.haproxy.source import Line

_ALONE = (
    "agent-check allow-0rtt backup check check-send-proxy check-ssl check-via-socks4 disabled enabled force-sslv3 "
    "force-tlsv10 force-tlsv11 force-tlsv12 force-tlsv13 no-agent-check no-backup no-check no-check-send-proxy "
    "no-check-ssl no-send-proxy no-send-proxy-v2 no-send-proxy-v2-ssl no-send-proxy-v2-ssl-cn no-ssl no-ssl-reuse "
    "no-sslv3 no-tls-tickets no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13 no-tfo no-verifyhost non-stick send-proxy "
    "send-proxy-v2 send-proxy-v2-ssl send-proxy-v2-ssl-cn ssl ssl-reuse stick tfo tls-tickets check-reuse-pool "
    "no-check-reuse-pool renegotiate no-renegotiate no-sni-auto strict-maxconn no-strict-maxconn"
)
_ONE = (
    "addr agent-addr agent-inter agent-port agent-send alpn ca-file cc check-alpn check-pool-conn-name check-proto "
    "check-sni ciphers ciphersuites client-sigalgs cookie crl-file crt curves downinter error-limit fall fastinter "
    "guid hash-key id idle-ping init-addr init-state inter log-bufsize log-proto max-reuse maxconn maxqueue minconn "
    "namespace npn observe on-error on-marked-down on-marked-up pool-conn-name pool-low-conn pool-max-conn "
    "pool-purge-delay port proto proxy-v2-options redir resolve-net resolve-opts resolve-prefer resolvers rise shard "
    "sigalgs slowstart sni socks4 ssl-max-ver ssl-min-ver tcp-md5sig tcp-ut track verify verifyhost weight ws"
)
_ARGUMENTS = {**dict.fromkeys(_ALONE.split(), 0), **dict.fromkeys(_ONE.split(), 1)}
# Their value is a duration, in milliseconds without a unit.
DURATIONS = ("agent-inter", "downinter", "fastinter", "inter", "slowstart", "tcp-ut", "pool-purge-delay", "idle-ping")
# `source` goes on with these, each with one argument.
_OF_SOURCE = ("usesrc", "interface")
# The one takes the other back.
_ONE_THING = {"enabled": "disabled", "non-stick": "stick"}


@dataclass(frozen=True, slots=True)
class Param:
    """A word of a server and its arguments. `key`: those with the same one replace each other; `?`: not known, with
    all that follows it."""

    key: str
    words: tuple[Word, ...]

    @property
    def name(self) -> str:
        """The word itself."""
        return self.words[0].value

    @property
    def value(self) -> str:
        """Its first argument."""
        return self.words[1].value if len(self.words) > 1 else ""

    @property
    def plain(self) -> bool:
        """It has no quotes, backslashes or variables."""
        return all(word.plain for word in self.words)

    @property
    def text(self) -> str:
        """As it was written."""
        return " ".join(word.raw for word in self.words)


def params(words: Sequence[Word]) -> list[Param]:
    """Cut a server's words up."""
    parsed: list[Param] = []
    at = 0
    while at < len(words):
        name = words[at].value
        end = _end(words, at)
        if end is None or end > len(words):
            parsed.append(Param("?", tuple(words[at:])))
            break
        positive = name.removeprefix("no-")
        parsed.append(Param(_ONE_THING.get(positive, positive), tuple(words[at:end])))
        at = end
    return parsed


def _end(words: Sequence[Word], at: int) -> int | None:
    name = words[at].value
    if name.startswith("set-proxy-v2-tlv-fmt("):
        return at + 2
    if name in _ARGUMENTS:
        return at + 1 + _ARGUMENTS[name]
    if name != "source":
        return None
    end = at + 2
    while end < len(words) and words[end].value in _OF_SOURCE:
        end += 2
    return end


def overlaid(behind: Sequence[Param], own: Sequence[Param]) -> list[Param]:
    """The words that hold where `own` stands after `behind`. A later word replaces an earlier one of its key."""
    by_key: dict[str, Param] = {}
    for param in (*behind, *own):
        if param.key != "?":
            by_key.pop(param.key, None)
        by_key[param.key] = param
    return list(by_key.values())


@dataclass(frozen=True, slots=True)
class Server:
    """A `server` line with all that holds for it in its section. `address`: word for word where `port` is ""."""

    line: Line
    name: str
    address: str
    port: str
    params: tuple[Param, ...]

    def get(self, key: str) -> Param | None:
        """Its word of this key."""
        return next((param for param in self.params if param.key == key), None)
