"""HAProxy itself, the same on every node. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hactl.model.options import Sparse
from hactl.model.service import Common


class User(Sparse, frozen=True):
    """One of a userlist's. `password`: as crypt(3) has it, never in the clear. `groups`: of the list."""

    name: str
    password: str
    groups: tuple[str, ...] = ()


class Exporter(Sparse, frozen=True):
    """HAProxy's own Prometheus metrics, on an address of each node: `port` on the node's address."""

    port: int = 8405
    path: str = "/metrics"


class GlobalOptions(Sparse, frozen=True):
    """`maxconn`: of the process. `nbthread`: 0 lets HAProxy take one a core. `hard_stop_after_ms`: how long a
    process that a reload replaced may stay for its open connections (None: without limit). `user`, `group`: what the
    workers become ("" stays root). `log`: the arguments of `log` lines. `manage_sysctl`: the daemon sets
    ip_nonlocal_bind, else it only refuses to start HAProxy without. `peers_port`: of each node's address, for tables
    that are shared. `defaults`: sets of defaults by name. `userlists`: by name. `extra_global`: lines put word for
    word at the end of `global`; `extra_defaults`: of the built-in set of defaults; `sections`: whole sections word
    for word, each a text.
    """

    maxconn: int | None = 8_000
    nbthread: int = 0
    hard_stop_after_ms: int | None = 1_800_000
    user: str = "haproxy"
    group: str = "haproxy"
    log: tuple[str, ...] = ("/dev/log local0 info",)
    manage_sysctl: bool = True
    peers_port: int = 1024
    exporter: Exporter | None = None
    defaults: Mapping[str, Common] | None = None
    userlists: Mapping[str, tuple[User, ...]] | None = None
    extra_global: tuple[str, ...] = ()
    extra_defaults: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
