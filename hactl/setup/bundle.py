"""A machine's bundle: what it needs to join, and nothing of what it need not know. Pure.

A JSON document of typed fields. Paths are not in it: where the parts go is decided where they are unpacked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from election.etcd.x509 import CertificateError, ends
from hactl.setup.errors import BadInputError
from hactl.setup.plan import CLIENT_PORT, Host, Name, Profile

FORMAT = 1
# Certificates and keys of a machine are some 10 kB.
LARGEST = 1 << 20
_KEY = re.compile(r"\s*-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY)-----[A-Za-z0-9+/=\s]+-----END \1-----\s*")
_URL = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")
_CLUSTER_KEY = re.compile(r"[\x21-\x7e]{32,4096}\s*")
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{0,128}")


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate and its key, in PEM form."""

    cert: str
    key: str

    def __post_init__(self) -> None:
        check_certificate(self.cert)
        if not _KEY.fullmatch(self.key):
            raise ValueError("holds no private key in PEM form")


class EtcdPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a machine with a member of the etcd that setup makes. `state`: whether the cluster is new, or was there
    before this member; `members`: of its first start, itself among them."""

    members: tuple[Host, ...]
    token: str
    ca: str
    server: Pair
    peer: Pair
    state: Literal["new", "existing"] = "new"

    def __post_init__(self) -> None:
        check_certificate(self.ca)
        if not _TOKEN.fullmatch(self.token):
            raise ValueError("the token has other characters than letters, digits, `-`, `_` and `.`")


class NodePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a node. `endpoints`: etcd's, its own member first. `ca`, `client`: how it reaches them; `admin`: the
    certificate of etcd's user `root`, where setup made etcd. `machine_ids`: of other nodes, by name, as far as they are
    known."""

    endpoints: tuple[str, ...]
    cluster_key: str
    ca: str = ""
    client: Pair | None = None
    admin: Pair | None = None
    machine_ids: dict[Name, str] = {}

    def __post_init__(self) -> None:
        if not self.endpoints or not all(_URL.fullmatch(url) for url in self.endpoints):
            raise ValueError("the endpoints are no URLs with a port")
        if not _CLUSTER_KEY.fullmatch(self.cluster_key):
            raise ValueError("holds no cluster key")
        if self.ca:
            check_certificate(self.ca)


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`made_at`: seconds since 1970 by the clock of the machine that made it. `node`: None for a witness; `etcd`: None
    where it has no member of it. `before`: the name that the machine had, where it gets another one; etcd is restarted
    for that."""

    cluster: Name
    host: Host
    made_at: float
    etcd: EtcdPart | None = None
    node: NodePart | None = None
    profile: Profile = "default"
    format: int = FORMAT
    before: str = ""

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"is of format {self.format}, and this hactl reads {FORMAT}: install the same version")
        if self.etcd is None and self.node is None:
            raise ValueError("has a part for neither hactl nor etcd")
        if self.etcd and self.host not in self.etcd.members:
            raise ValueError("the machine is none of etcd's members")
        if self.etcd and self.node and self.node.endpoints[0] != self.host.url(CLIENT_PORT):
            raise ValueError("the machine's own member is not the first endpoint")


# The uses of a machine's certificates.
SERVER, PEER, CLIENT, ADMIN_PAIR = "etcd's server", "etcd's peer", "client", "admin"


def certificates(bundle: Bundle) -> Iterator[tuple[str, Pair]]:
    """Each with its use."""
    if bundle.etcd:
        yield SERVER, bundle.etcd.server
        yield PEER, bundle.etcd.peer
    if bundle.node and bundle.node.client:
        yield CLIENT, bundle.node.client
    if bundle.node and bundle.node.admin:
        yield ADMIN_PAIR, bundle.node.admin


def check_certificate(text: str) -> None:
    """Raises ValueError where it is none."""
    try:
        ends(text)
    except CertificateError as error:
        raise ValueError(str(error)) from None


def encode(bundle: Bundle) -> bytes:
    """The file's content."""
    return msgspec.json.format(msgspec.json.encode(bundle), indent=1) + b"\n"


def decode(content: bytes, file: str) -> Bundle:
    """The bundle in a file. Raises BadInputError."""
    again = "make it anew by `hactl setup` on the first machine"
    if len(content) > LARGEST:
        raise BadInputError(f"{file} is larger than a join file: {again}")
    try:
        return msgspec.json.decode(content, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"{file} is no join file: {error}; {again}") from None
