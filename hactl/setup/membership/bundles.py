"""The join file of a machine that comes into a cluster that runs, and those of the others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hactl.setup.authority import Authority
from hactl.setup.begin import cluster_key, new_bundle, read_made_bundle, with_own_etcd
from hactl.setup.bundle import Bundle, encode
from hactl.setup.contents import File
from hactl.setup.files import Say
from hactl.setup.machine import Machine
from hactl.setup.places import Places
from hactl.setup.plan import Host, Plan


def make(plan: Plan, host: Host, machine_ids: Mapping[str, str], places: Places, machine: Machine, say: Say) -> None:
    """With new certificates. `machine_ids`: of the other nodes. Raises RefusedError."""
    change, now, key = plan.change, machine.now(), cluster_key(places, say)
    renamed = change is not None and change.verb == "rename"
    if plan.etcd:
        bundle = with_own_etcd(plan, host, key, now, None)
    else:
        bundle = new_bundle(plan, host, Authority(places.authority, plan.cluster), key, now, None)
    if bundle.etcd:
        token = _token_of(plan, places) if renamed else f"{plan.token}-{os.urandom(4).hex()}"
        etcd = msgspec.structs.replace(bundle.etcd, state="existing", token=token)
        bundle = msgspec.structs.replace(bundle, etcd=etcd)
    if bundle.node:
        node = msgspec.structs.replace(bundle.node, machine_ids=dict(machine_ids))
        bundle = msgspec.structs.replace(bundle, node=node)
    if renamed and change:
        bundle = msgspec.structs.replace(bundle, before=change.old)
    _write(bundle, places, machine, say)


def _token_of(plan: Plan, places: Places) -> str:
    """That of the machine's data, which stay: another one would say that they are of another etcd."""
    assert plan.change is not None
    old = read_made_bundle(places, Host(plan.change.old, plan.change.host.address))
    return old.etcd.token if old and old.etcd else plan.token


def renewed(plan: Plan, host: Host, places: Places, machine: Machine, say: Say) -> None:
    """The join file of a machine that is there, with etcd's endpoints and members of today."""
    bundle = read_made_bundle(places, host)
    if bundle is None:
        return
    node = msgspec.structs.replace(bundle.node, endpoints=plan.endpoints(host)) if bundle.node else None
    etcd = msgspec.structs.replace(bundle.etcd, members=plan.members) if bundle.etcd else None
    _write(msgspec.structs.replace(bundle, node=node, etcd=etcd), places, machine, say)


def remove(name: str, places: Places, say: Say) -> None:
    """The join file of a machine that is gone: its keys are in it."""
    path = Path(places.bundle(name))
    if path.exists():
        path.unlink()
        say(f"removed    {path}")


def _write(bundle: Bundle, places: Places, machine: Machine, say: Say) -> None:
    machine.files(say).file(File(places.bundle(bundle.host.name), encode(bundle).decode(), 0o600))
