"""What Debian's packages start by themselves: etcd as a cluster of one, and HAProxy. Both are stopped where nobody has
made use of them; where somebody has, it is refused, with what to type."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from hactl.admin.etcd.snapshot_file import read_snapshot
from hactl.setup.errors import RefusedError
from hactl.setup.etcdctl import Etcdctl
from hactl.setup.files import Change, Say
from hactl.setup.machine import Machine, UnitState, command
from hactl.setup.places import Places

PACKAGED_ENDPOINT = "http://127.0.0.1:2379"
_HAPROXY_CFG = "/etc/haproxy/haproxy.cfg"


class PackagedEtcd(NamedTuple):
    """Debian's etcd as it was found. `revision`: how often its keys were changed, and one more; `members`: of its
    cluster."""

    revision: int
    members: int


def etcd_in_use(places: Places, machine: Machine) -> str:
    """Why the etcd that is on this machine may not be stopped; "": there is none but as its package began it, or as
    hactl set it up before."""
    unit = machine.unit("etcd")
    if _is_ours(places, unit):
        return ""
    if unit.active:
        return in_use(_running_etcd(), places)
    if not Path(places.packaged_data, "member").exists():
        return ""
    revision = _revision_of(places)
    if revision is None:
        return _refusal("its data cannot be read, so it cannot be seen whether it is in use", places)
    return _refusal("holds keys", places) if revision > 0 else ""


def stop_packaged_etcd(places: Places, machine: Machine, say: Say) -> None:
    """Stop the etcd that Debian's package began, which is not in use; its data stay."""
    unit = machine.unit("etcd")
    if unit.active and not _is_ours(places, unit):
        machine.stop("etcd")
        say(Change("stopped    etcd.service, which its package had started: an etcd of one member without any key"))


def _is_ours(places: Places, unit: UnitState) -> bool:
    return Path(places.drop_in).exists() and places.drop_in in unit.drop_ins


def in_use(etcd: PackagedEtcd | None, places: Places) -> str:
    """Why a running etcd may not be stopped; "": it is as its package began it. Pure."""
    if etcd is None:
        return _refusal(f"does not answer at {PACKAGED_ENDPOINT}, so it cannot be seen whether it is in use", places)
    if etcd.members > 1:
        return _refusal(f"is one of {etcd.members} members of a cluster", places)
    return _refusal("holds keys", places) if etcd.revision > 1 else ""


def _refusal(problem: str, places: Places) -> str:
    data = places.packaged_data
    return (
        f"an etcd is on this machine already, and {problem}: to use it, `hactl setup --etcd-endpoints URLS`; if nobody "
        f"needs it, `systemctl stop etcd; mv {data} {data}.old`, then repeat this"
    )


def _running_etcd() -> PackagedEtcd | None:
    etcdctl = Etcdctl([PACKAGED_ENDPOINT])
    with contextlib.suppress(RefusedError, ValueError, KeyError, TypeError, IndexError):
        revision = int(json.loads(etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]["header"]["revision"])
        return PackagedEtcd(revision, len(json.loads(etcdctl("member", "list", "-w", "json"))["members"]))
    return None


def _revision_of(places: Places) -> int | None:
    """Of an etcd that is stopped: 0 where no key was ever written; None: not known. Its database is read from a
    copy."""
    with tempfile.TemporaryDirectory(prefix="hactl-") as directory:
        copy = Path(directory, "db")
        try:
            shutil.copyfile(Path(places.packaged_data, "member/snap/db"), copy)
        except FileNotFoundError:
            return 0
        with contextlib.suppress(RefusedError):
            return read_snapshot(copy, summed=False).revision
    return None


def haproxy_in_use(places: Places, machine: Machine) -> str:
    """Why HAProxy's own unit may not be stopped; "": it runs what its package has, or nothing."""
    if not machine.unit("haproxy").active or _unchanged(places.at(_HAPROXY_CFG)):
        return ""
    return (
        f"haproxy.service runs here with a {_HAPROXY_CFG} of your own, and hactl runs HAProxy itself: turn it into "
        "services with `hactl import haproxy`, then `systemctl disable --now haproxy`, and repeat this"
    )


def stop_packaged_haproxy(machine: Machine, say: Say) -> None:
    """Stop HAProxy's own unit, which is not in use: hactl runs HAProxy itself."""
    unit = machine.unit("haproxy")
    if unit.there and (unit.enabled or unit.active):
        machine.disable("haproxy")
        say(Change("disabled   haproxy.service: hactl runs HAProxy itself"))


def _unchanged(path: str) -> bool:
    """Whether it is as its package has it."""
    listed = command(["dpkg-query", "--show", "--showformat=${Conffiles}", "haproxy"]).stdout
    try:
        digest = hashlib.new("md5", Path(path).read_bytes(), usedforsecurity=False).hexdigest()
    except FileNotFoundError:
        return True
    return f"{_HAPROXY_CFG} {digest}" in listed
