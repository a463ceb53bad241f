"""etcd's users and roles, by etcdctl with the certificate of its user `root`. Each step may be repeated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from hactl.admin.etcd.access import etcdctl
from hactl.setup.authority import ADMIN, user_of
from hactl.setup.errors import RefusedError
from hactl.setup.files import Change, Say
from hactl.setup.places import Places

ROLE = "hactl"
_TIMEOUT_S = 20.0


class Etcdctl:
    """`flags`: how to reach etcd."""

    def __init__(self, endpoints: Sequence[str], flags: Sequence[str] = ()) -> None:
        self._flags = [f"--endpoints={','.join(endpoints)}", "--command-timeout=10s", *flags]

    @classmethod
    def admin(cls, endpoints: Sequence[str], places: Places) -> Etcdctl:
        """As etcd's user `root`."""
        files = places.pki
        names = (("cacert", "ca.pem"), ("cert", "admin.pem"), ("key", "admin.key"))
        return cls(endpoints, [f"--{flag}={files}/{name}" for flag, name in names])

    def __call__(self, *arguments: str) -> str:
        """The output. Raises RefusedError."""
        try:
            return etcdctl([*self._flags, *arguments], {}, _TIMEOUT_S)
        except RefusedError as error:
            raise RefusedError(f"{error}; repeat this when etcd is well") from None


def prefixes(cluster: str) -> tuple[str, ...]:
    """What hactl reads and writes in etcd."""
    return tuple(f"/{name}/{cluster}/" for name in ("hactl", "hactl-history", "hactl-health"))


def close_etcd(etcdctl: Etcdctl, cluster: str, nodes: Iterable[str], say: Say) -> None:
    """Users and roles, then authentication on. Raises RefusedError."""
    users, roles = set(etcdctl("user", "list").split()), set(etcdctl("role", "list").split())
    names = [ADMIN, *(user_of(node) for node in nodes)]
    for role in (ADMIN, ROLE):
        if role not in roles:
            etcdctl("role", "add", role)
    for prefix in prefixes(cluster):
        etcdctl("role", "grant-permission", ROLE, "readwrite", "--prefix=true", prefix)
    for user in names:
        _add_user(etcdctl, user, ADMIN if user == ADMIN else ROLE, users)
    etcdctl("auth", "enable")
    line = f"etcd takes requests of its users only: {', '.join(names)}"
    say(line if users.issuperset(names) else Change(line))


def add_node(etcdctl: Etcdctl, node: str) -> None:
    """A node's user. Raises RefusedError."""
    _add_user(etcdctl, user_of(node), ROLE, set(etcdctl("user", "list").split()))


def _add_user(etcdctl: Etcdctl, user: str, role: str, users: Collection[str]) -> None:
    if user not in users:
        etcdctl("user", "add", user, "--no-password")
    etcdctl("user", "grant-role", user, role)
