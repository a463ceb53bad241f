"""How this node reaches etcd, by node.toml: the store itself, and the weaknesses of the connection.

Anybody who can write to etcd can move and stop every group; so access to it must be closed to everybody else
(docs/security.md).
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from election.etcd.tls import CertificateEnd, TlsFiles, member_ends
from hactl.config.cluster_key import read_key
from hactl.config.errors import ConfigErrors, Problem, UnusableFileError
from hactl.config.node import NodeConfig

if TYPE_CHECKING:
    from election.etcd.store import EtcdStore

_HOST = re.compile(r"https?://(?:\[(?P<v6>[^]]+)\]|(?P<host>[^:/]+))")


class Weakness(NamedTuple):
    """A part of the set-up that lets others in. `hint`: how to close it."""

    problem: str
    hint: str


def open_etcd(config: NodeConfig) -> EtcdStore:
    """A connection to etcd. Slow to import. Raises UnusableFileError for a file that cannot be used, or that others may
    read though it is secret. The password's file is read anew at each login."""
    from election.etcd.store import EtcdStore  # noqa: PLC0415 - a fifth of a second
    from fencing.agents.secret_sources import read_secret  # noqa: PLC0415

    problem = next((weakness.problem for weakness in unusable(config)), "")
    try:
        if not problem:
            return EtcdStore(
                config.endpoints,
                ca=config.etcd_ca or None,
                cert=config.etcd_cert or None,
                key=config.etcd_key or None,
                user=config.etcd_user or None,
                password=functools.partial(read_secret, config.etcd_password_file) if config.etcd_user else None,
            )
    except ValueError as error:
        raise ConfigErrors([Problem("node.toml", "", str(error), "")]) from None
    except OSError as error:
        problem = f"{error.filename} cannot be read: {error.strerror}"
    raise UnusableFileError([Problem("node.toml", "", problem, "")])


def unusable(config: NodeConfig) -> Iterator[Weakness]:
    """The problems of the files for the connection to etcd: they are used at the next connection or login, and at the
    next start of the daemon."""
    from fencing.agents.secret_sources import SecretError, check_private, read_secret  # noqa: PLC0415

    for path, check in ((config.etcd_key, check_private), (config.etcd_password_file, read_secret)):
        try:
            if path:
                check(path)
        except SecretError as error:
            yield Weakness(str(error), _NOW)
    for problem in tls_files(config).damage():
        yield Weakness(problem, _NOW)


# As long as a connection lasts, nobody notices.
_NOW = "fix it now: hactl reads it at its next connection to etcd, and does not start with it as it is"
_KEY_NOW = "fix it now: until then this node takes no new configuration"


def found_weak(config: NodeConfig, *, root: bool, node_toml: Path | None = None) -> list[Weakness]:
    """All weaknesses here: files that cannot be used, which only `root` can see, and ways for others to get in."""
    from hactl.config.rules.open_to_others import open_to_others  # noqa: PLC0415 - nothing hurries

    weak = [*unusable(config), *(Weakness(*opening) for opening in open_to_others(config, node_toml))] if root else []
    try:
        has_key = read_key(Path(config.cluster_key)) is not None
    except ConfigErrors as error:
        has_key = True
        weak += [Weakness(str(problem), _KEY_NOW) for problem in error.problems] if root else []
    return [*weak, *weaknesses(config, has_key=has_key)]


def tls_files(config: NodeConfig) -> TlsFiles:
    """The PEM files for etcd."""
    return TlsFiles(config.etcd_ca, config.etcd_cert, config.etcd_key)


def certificate_ends(config: NodeConfig) -> list[CertificateEnd]:
    """Until when the certificates hold: those for etcd, and those of the member here."""
    return [*tls_files(config).ends(), *member_ends(config.etcd_member_certs)]


def weaknesses(config: NodeConfig, *, has_key: bool) -> list[Weakness]:
    """The ways in which others can write to etcd, or have this node run their programs. Pure. `has_key`: the cluster's
    key is there. Nothing where `accept_insecure_etcd` says that they are known."""
    if config.accept_insecure_etcd:
        return []
    weak = []
    plain = [url for url in config.endpoints if url.startswith("http://")]
    remote = [url for url in plain if not _loopback(url)]
    if remote:
        also = " and the password of etcd_user can be read" if config.etcd_user else ""
        weak.append(
            Weakness(
                f"etcd is reached without TLS ({', '.join(remote)}): what is read and written can be changed on the "
                f"way{also}",
                _TLS,
            )
        )
    if not config.etcd_user and not config.etcd_cert:
        writers = "every user of this machine" if plain and not remote else "everybody who reaches it"
        weak.append(Weakness(f"etcd asks this node for no user and no certificate: {writers} can write to it", _TLS))
    if not has_key:
        weak.append(
            Weakness(
                f"there is no {config.cluster_key}: who can write to etcd can have programs run as root on every node",
                "`hactl key create`, the same file on every node, then `hactl config sign`",
            )
        )
    return weak


_TLS = (
    "give etcd certificates (`etcd_ca`, `etcd_cert`, `etcd_key`) or users (`etcd_user`) in node.toml; "
    "docs/security.md; `accept_insecure_etcd = true` where nobody else can reach it"
)


def _loopback(url: str) -> bool:
    match = _HOST.match(url)
    host = (match["v6"] or match["host"]) if match else ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
