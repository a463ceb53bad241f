"""The kinds of value that settings of services have beside those of `fields.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import AfterValidator

from hactl.config.fields import Address, FilePath, HttpPath, Line, Name, wrong
from hactl.haproxy.split_words import Word as HaproxyWord
from hactl.haproxy.split_words import WordError, split_line
from hactl.haproxy.words import SECTIONS, is_path, text_lines

_BIND_FORM = "such as `10.0.0.30:5000`, `[2001:db8::30]:5000`, `10.0.0.30:6080-6082` or `*:5000`"
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_STATUSES = re.compile(r"[1-5][0-9]{2}(-[1-5][0-9]{2})?(,[1-5][0-9]{2}(-[1-5][0-9]{2})?)*")
_CRYPTED = re.compile(r"\$[0-9A-Za-z]+\$[!-~]+|[./0-9A-Za-z]{13}")


class Socket(NamedTuple):
    """The socket of a `bind`: ports of an address, the unspecified one for all."""

    address: Address
    first: int
    last: int

    def meets(self, other: Socket) -> bool:
        """Whether two of HAProxy's take the same port, and it cannot be told which of them gets a connection. One for
        all addresses and one for a single one can be told apart, and so can those of IPv4 and IPv6: the kernel takes
        the closer one."""
        return self.address == other.address and self.first <= other.last and other.first <= self.last

    def takes(self, address: Address, port: int) -> bool:
        """Whether it gets connections to this port of this address."""
        return self.first <= port <= self.last and covers(self.address, address)


def covers(taken: Address, address: Address) -> bool:
    """Whether a socket on `taken` gets connections to `address`: `[::]` gets those of IPv4, too, unless told
    otherwise."""
    return taken == address or (taken.is_unspecified and (taken.version == 6 or address.version == 4))


def socket_of(text: str) -> Socket | None:
    """The socket of a bind's address; None if it is no IP address (`/run/x.sock`, `abns@x`). ValueError when it is
    neither."""
    if text.startswith("/") or re.match(r"[a-z0-9+]+@", text):
        return None
    host, colon, ports = text.rpartition(":")
    match = _PORTS.fullmatch(ports)
    if not colon or match is None:
        raise ValueError(text)
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 < first <= last < 65536:
        raise ValueError(text)
    if host == "*":
        return Socket(IPv4Address(0), first, last)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    address = ip_address(bare)
    if (address.version == 6) != (bare != host):
        raise ValueError(text)
    return Socket(address, first, last)


def bind_address(value: str) -> str:
    """A bind's address, checked."""
    try:
        if re.search(r"\s|,", value):
            raise ValueError(value)
        socket_of(value)
    except ValueError:
        raise wrong(f"`{value}` is no address with port", _BIND_FORM) from None
    return value


def _word(value: str) -> str:
    if not re.fullmatch(r"""[^\s"'\\#\x00-\x1f]+""", value):
        raise wrong(f"`{value}` is not one word", "leave out spaces, quotes, `\\` and `#`")
    return value


def _haproxy_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.:-]+", value):
        raise wrong(f"`{value}` is no name for HAProxy", "use letters, digits and `_` `.` `:` `-`")
    return value


def _raw(value: str) -> str:
    first = next(iter(_split(value)), HaproxyWord("", ""))
    if first.value in SECTIONS or first.value.startswith("["):
        raise wrong(f"`{value}` begins a section", "put whole sections into `haproxy.sections`")
    if '"' in first.raw and "$" in first.value:
        raise wrong(f"`{value}` begins with a variable, which may be anything", "write the word itself")
    return value


def _split(value: str) -> list[HaproxyWord]:
    try:
        return split_line(value)
    except WordError as error:
        raise wrong(f"`{value}`: {error}", "correct the quotes and backslashes") from None


def _sections(value: str) -> str:
    lines = [words for line in text_lines(value) if (words := _split(line))]
    if not lines or lines[0][0].value not in (*SECTIONS, ".if"):
        raise wrong("does not begin with a section's first line", "begin it with a line such as `backend old`")
    if quoted := [words[0].raw for words in lines if words[0].value in SECTIONS and not words[0].plain]:
        raise wrong(f"`{quoted[0]}` begins a section, in quotes", "write it without")
    if any(ord(char) < 32 and char not in "\n\t" for char in value):
        raise wrong("has a control character", "leave it out")
    return value.strip("\n")


def _crypted(value: str) -> str:
    if not _CRYPTED.fullmatch(value):
        raise wrong("is no password as crypt(3) has it", "make one with `openssl passwd -6`")
    return value


def _statuses(value: str) -> str:
    if not _STATUSES.fullmatch(value):
        raise wrong(f"`{value}` is no status", "such as `200`, `200-399` or `200,401`")
    return value


def _size(value: str) -> str:
    if not re.fullmatch(r"[0-9]+[kKmMgG]?", value):
        raise wrong(f"`{value}` is no number of entries", "such as `100k`")
    return value


def _server_address(value: str) -> str:
    """A name is HAProxy's to find; but a port has a setting of its own, unless it is added to that of the `bind`."""
    if is_path(value) or "@" in value or re.search(r":[+-][0-9]+$", value):
        return _word(value)
    if value.startswith("["):
        raise wrong(f"`{value}` has brackets", f"write `{value.strip('[]')}`, and a port into `port`")
    try:
        return str(ip_address(value))
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9_.*-]+", value):
            raise wrong(
                f"`{value}` is no address of a server", "write it without its port, which goes into `port`"
            ) from None
    return value


def _unless_empty(kind: Any) -> AfterValidator:
    """A check for texts of `kind` that lets empty ones pass."""
    check: Callable[[str], str] = get_args(kind)[1].func
    return AfterValidator(lambda value: value and check(value))


BindAddress = Annotated[str, AfterValidator(bind_address)]
Word = Annotated[str, AfterValidator(_word)]
HaproxyName = Annotated[str, AfterValidator(_haproxy_name)]
Raw = Annotated[Line, AfterValidator(_raw)]
SectionText = Annotated[str, AfterValidator(_sections)]
ServerAddress = Annotated[str, AfterValidator(_server_address)]
Size = Annotated[str, AfterValidator(_size)]
Statuses = Annotated[str, AfterValidator(_statuses)]
Crypted = Annotated[str, AfterValidator(_crypted)]
BindAddressOrEmpty = Annotated[str, _unless_empty(BindAddress)]
FilePathOrEmpty = Annotated[str, _unless_empty(FilePath)]
HaproxyNameOrEmpty = Annotated[str, _unless_empty(HaproxyName)]
NameOrEmpty = Annotated[str, _unless_empty(Name)]
StatusesOrEmpty = Annotated[str, _unless_empty(Statuses)]
WordOrEmpty = Annotated[str, _unless_empty(Word)]
HttpPathOrEmpty = Annotated[str, _unless_empty(HttpPath)]
