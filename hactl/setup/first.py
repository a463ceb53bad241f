"""Setup on the first machine, step by step. Each step may be repeated."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from election.store import StoreError
from hactl.config.errors import ConfigErrors
from hactl.config.node import load_node
from hactl.setup.begin import are_prepared, begin_cluster, has_begun, prepare, renew, stored_plan
from hactl.setup.checks import here_of
from hactl.setup.errors import BadInputError, RefusedError
from hactl.setup.etcdctl import Etcdctl, close_etcd
from hactl.setup.files import Change, Say
from hactl.setup.join import join, read_bundle
from hactl.setup.machine import Machine, UnchangedMachine
from hactl.setup.members import answer_of, compare_clocks, wait_for_members
from hactl.setup.places import Places
from hactl.setup.plan import Host, Plan
from hactl.setup.ssh import by_hand, join_by_ssh


def agreed_plan(given: Plan | None, places: Places) -> Plan:
    """The plan that is carried out: what was typed, which must be what setup began with here. Raises RefusedError."""
    stored = stored_plan(places)
    if stored and stored.change:
        raise RefusedError(f"the cluster is being changed: first `{stored.change.command}`, which goes on")
    if given is None:
        if stored is None:
            raise BadInputError(
                "no setup has begun here: `hactl setup --cluster NAME n1=ADDRESS n2=ADDRESS n3=ADDRESS`"
            )
        return stored
    if stored is None:
        return given
    if not stored.same(given):
        raise BadInputError(
            f"another setup has begun here: to go on with it, `{stored.command}`; to add or remove nodes, "
            "`hactl node`; to begin again, docs/install.md, *Begin again*"
        )
    return stored


def set_up(plan: Plan, places: Places, machine: Machine, say: Say, *, by: str, ssh_user: str, deadline: float) -> None:
    """From the checks to the cluster's beginning. `by`: the author; `ssh_user`: "" to have the operator join the
    other machines; `deadline`: monotonic time until which the other machines are waited for."""
    me = _which(plan, machine)
    bundles = prepare(plan, places, machine, say)
    join(bundles[me.name], places, machine, say)
    config = load_node(Path(places.node_toml))
    others = [host for host in plan.hosts if host != me]
    bring(
        [host for host in others if ssh_user or not (plan.members and answer_of(host) == "accepts")],
        places,
        ssh_user,
        say,
    )
    if plan.etcd is None:
        hosts = sorted(plan.members, key=lambda host: host != me)
        wait_for_members(config, hosts, deadline, say)
        compare_clocks(config, hosts, machine.now())
        nodes = [host.name for host in plan.nodes]
        close_etcd(Etcdctl.admin(config.endpoints, places), plan.cluster, nodes, say)
    begin_cluster(config, places, by, say)


def prepare_only(plan: Plan, places: Places, machine: Machine, say: Say) -> None:
    """The files for all machines, and no more. Raises RefusedError."""
    _which(plan, machine)
    prepare(plan, places, machine, say)


def foresee(plan: Plan, places: Places, machine: UnchangedMachine, say: Say) -> None:
    """Say what `set_up` would change on this machine, and in etcd. Raises RefusedError as that does."""
    me = _which(plan, machine)
    if not are_prepared(plan, places, machine.now()):
        say(Change(f"written    {places.authority}: the authority, the key, a join file for each machine"))
        return
    join(read_bundle(places.bundle(me.name)), places, machine, say)
    with contextlib.suppress(ConfigErrors, StoreError):
        if has_begun(load_node(Path(places.node_toml))):
            return
    say(Change(f"the cluster {plan.cluster} has begun"))


def _which(plan: Plan, machine: Machine) -> Host:
    """This machine, which must be one of the nodes. What can be checked before anything is written is checked here."""
    if machine.uid() != 0:
        raise RefusedError("this needs root: repeat it with sudo")
    if missing := machine.missing(["openssl"]):
        raise RefusedError(f"{missing[0]}: not installed here; `apt install {missing[0]}`")
    me = here_of(plan.hosts, frozenset(machine.addresses()))
    if isinstance(me, str):
        raise RefusedError(me)
    if me == plan.witness:
        raise RefusedError(f"this machine, {me.name}, is the witness: run setup on one of the nodes")
    return me


def bring(hosts: Sequence[Host], places: Places, ssh_user: str, say: Say) -> None:
    """Other machines' bundles, by ssh or in words. Raises RefusedError."""
    if ssh_user:
        for host in hosts:
            join_by_ssh(host, places.bundle(host.name), ssh_user, say)
    elif hosts:
        say("on each of the other machines, as root:")
        for host in hosts:
            say(f"  {host.name}: {by_hand(host, places.bundle(host.name))}")


def renew_certificates(places: Places, machine: Machine, say: Say, *, ssh_user: str, new_keys: bool) -> None:
    """New certificates for all machines; this one takes its own at once. Raises RefusedError."""
    plan = stored_plan(places)
    if plan is None:
        raise RefusedError(
            f"the authority is not on this machine: repeat this on the one where `hactl setup` ran ({places.authority})"
        )
    me = _which(plan, machine)
    bundles = renew(plan, places, machine, say, new_keys=new_keys)
    join(bundles[me.name], places, machine, say)
    bring([host for host in plan.hosts if host != me], places, ssh_user, say)
