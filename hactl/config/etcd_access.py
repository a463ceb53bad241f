"""How this node reaches etcd, by node.toml: the store itself, and what is weak about the way.

Who can write to etcd can move and stop every group; so the way to it is to be closed to everybody else
(docs/security.md).
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

from election.etcd_tls import TlsFiles
from hactl.config.errors import ConfigErrors, Problem
from hactl.config.node import NodeConfig

if TYPE_CHECKING:
    from election.etcd_store import EtcdStore

_HOST = re.compile(r"https?://(?:\[(?P<v6>[^]]+)\]|(?P<host>[^:/]+))")


class Weakness(NamedTuple):
    """Something about the set-up that lets others in. `hint`: what closes it."""

    problem: str
    hint: str


def open_etcd(config: NodeConfig) -> EtcdStore:
    """A connection to etcd. Slow to import. Raises ConfigErrors for a file that cannot be used, or that others may
    read though it is secret."""
    from election.etcd_store import EtcdStore  # noqa: PLC0415 - a fifth of a second
    from fencing.secret_sources import SecretError, check_private, read_secret  # noqa: PLC0415

    try:
        if config.etcd_key:
            check_private(config.etcd_key)
        return EtcdStore(
            config.endpoints,
            ca=config.etcd_ca or None,
            cert=config.etcd_cert or None,
            key=config.etcd_key or None,
            user=config.etcd_user or None,
            password=read_secret(config.etcd_password_file) if config.etcd_password_file else None,
        )
    except (SecretError, ValueError) as error:
        raise ConfigErrors([Problem("node.toml", "", str(error), "")]) from None
    except OSError as error:
        problem = f"{error.filename} cannot be read: {error.strerror}"
        raise ConfigErrors([Problem("node.toml", "", problem, "see that it may be read")]) from None


def tls_files(config: NodeConfig) -> TlsFiles:
    """The PEM files for etcd."""
    return TlsFiles(config.etcd_ca, config.etcd_cert, config.etcd_key)


def weaknesses(config: NodeConfig, *, has_key: bool) -> list[Weakness]:
    """What lets others write to etcd, or have this node run their programs. Pure. `has_key`: the cluster's key is
    there. Nothing where `accept_insecure_etcd` says that it is known."""
    if config.accept_insecure_etcd:
        return []
    found = []
    plain = [url for url in config.endpoints if url.startswith("http://")]
    remote = [url for url in plain if not _loopback(url)]
    if remote:
        told = " and the password of etcd_user can be read" if config.etcd_user else ""
        found.append(
            Weakness(
                f"etcd is reached without TLS ({', '.join(remote)}): what is read and written can be changed on the "
                f"way{told}",
                _TLS,
            )
        )
    if not config.etcd_user and not config.etcd_cert:
        who = "every user of this machine" if plain and not remote else "everybody who reaches it"
        found.append(Weakness(f"etcd asks this node for no user and no certificate: {who} can write to it", _TLS))
    if not has_key:
        found.append(
            Weakness(
                f"there is no {config.cluster_key}: who can write to etcd can have programs run as root on every node",
                "`hactl key create`, the same file on every node, then `hactl config sign`",
            )
        )
    return found


_TLS = (
    "give etcd certificates (`etcd_ca`, `etcd_cert`, `etcd_key`) or users (`etcd_user`) in node.toml; "
    "docs/security.md; `accept_insecure_etcd = true` where nobody else can reach it"
)


def _loopback(url: str) -> bool:
    found = _HOST.match(url)
    host = (found["v6"] or found["host"]) if found else ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
