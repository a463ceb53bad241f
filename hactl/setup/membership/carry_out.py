"""Carries out `hactl node add|remove|replace|rename`: looks, does the next step, and looks again, until nothing is
left. Each step may be repeated."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from election.store import StoreError
from hactl.admin.nodes import forget, standby
from hactl.config.etcd_access import open_etcd
from hactl.config.node import load_node
from hactl.linux.atomic_write import write_atomically
from hactl.setup.authority import user_of
from hactl.setup.begin import keep_plan, stored_plan
from hactl.setup.checks import here_of
from hactl.setup.errors import BadInputError, NotYetError, RefusedError
from hactl.setup.etcdctl import Etcdctl, add_node
from hactl.setup.files import Say
from hactl.setup.machine import Machine
from hactl.setup.membership import bundles, configuration
from hactl.setup.membership.planning import finished
from hactl.setup.membership.quorum import called
from hactl.setup.membership.reach import Reach
from hactl.setup.membership.sight import look, members, read_cluster, voters_of
from hactl.setup.membership.steps import Facts, Step, next_step, refusal
from hactl.setup.places import Places
from hactl.setup.plan import PEER_PORT, Change, Host, Plan

_AGAIN_S = 1.0
# A step that is done, and whose effect comes by itself.
_WAITING = {
    Step.AWAIT_EMPTY: "to be empty",
    Step.STOP: "to end its daemon",
    Step.LEAVE: "to end its daemon",
    Step.JOIN: "to join",
    Step.AWAIT_ONLINE: "to be online",
}
# A step that is done again until it succeeds.
_REPEATED = (Step.PROMOTE, Step.ADD_MEMBER, Step.REMOVE_MEMBER, Step.FORGET)
# What etcd says while members have just changed.
_SOON = ("unhealthy cluster", "in sync with leader", "not enough started members", "no leader", "timed out", "changed")


class Operator(NamedTuple):
    """What only an operator's command does. `standby`: drain a node and have its groups leave; `confirm`: give the word
    that a lost node runs nothing any more, or refuse."""

    standby: Callable[[str], None]
    confirm: Callable[[str], None]


class Run(NamedTuple):
    """One run of the command. `by`: its author; `deadline`: monotonic."""

    reach: Reach
    operator: Operator
    by: str
    deadline: float

    @property
    def places(self) -> Places:
        """Where the files are."""
        return self.reach.places

    @property
    def say(self) -> Say:
        """Says a line."""
        return self.reach.say


def plan_here(places: Places, machine: Machine) -> Plan:
    """The plan that is carried out in this cluster. Raises BadInputError where this is not the machine that has it, and
    RefusedError where this is not root."""
    if machine.uid() != 0:
        raise RefusedError("this needs root: repeat it with sudo")
    plan = stored_plan(places)
    if plan is None:
        raise BadInputError(
            f"{places.plan} is not here: run this on the machine where `hactl setup` ran; for a cluster that was set "
            "up by hand: docs/membership.md, *By hand*"
        )
    return plan


def machine_here(plan: Plan, machine: Machine) -> Host | None:
    """Which of the machines this is."""
    here = here_of(plan.hosts, frozenset(machine.addresses()))
    return here if isinstance(here, Host) else None


@contextmanager
def alone(places: Places) -> Iterator[None]:
    """One command of this kind at a time. Raises RefusedError."""
    descriptor = os.open(places.authority, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RefusedError("another `hactl node` command runs on this machine: wait for its end") from None
    finally:
        os.close(descriptor)


def begin(before: Plan, plan: Plan, run: Run) -> Plan:
    """The plan that comes out of a change, kept; refused before the first step where a later one would be. `before`:
    the plan of now. Raises RefusedError, ConfigErrors, StoreError."""
    change = plan.change
    if change is None or before.change == change:
        return plan
    plan = _with_members(before, plan, change, run.places)
    assert plan.change is not None
    facts = look(plan, run.places)
    if problem := refusal(plan, facts):
        raise RefusedError(problem)
    config, leaving = load_node(Path(run.places.node_toml)), facts.node(_leaving(plan))
    with closing(open_etcd(config)) as store:
        known = read_cluster(store, config.cluster)
        configuration.check(plan.change, known.spec, run.places)
        if change.verb in ("remove", "rename") and leaving.alive and not leaving.standby:
            standby(store, known.view, known.spec, _leaving(plan), run.by, check=True)
    if change.verb != "add" and leaving.unsafe:
        run.operator.confirm(_leaving(plan))
    keep_plan(plan, run.places, run.reach.machine, lambda _: None)
    return plan


def _with_members(before: Plan, plan: Plan, change: Change, places: Places) -> Plan:
    """With the ids of the members that go."""
    old = before.host(change.host.name)
    if change.verb not in ("remove", "replace") or before.etcd or old is None:
        return plan
    known = members(before, load_node(Path(places.node_toml)))
    going = [member.id for member in known.all if old.url(PEER_PORT) in member.peer_urls]
    return msgspec.structs.replace(plan, change=msgspec.structs.replace(change, members=tuple(going)))


def carry_out(plan: Plan, run: Run) -> Plan:
    """All that is left of the plan's change. Raises RefusedError, ConfigErrors, StoreError."""
    last: Step | None = None
    wait = _Wait(plan, run)
    while True:
        try:
            facts = look(plan, run.places)
        except StoreError as error:  # as etcd elects another leader, or restarts
            wait.once_more(f"etcd ({error})")
            continue
        step = next_step(plan, facts)
        if step is None:
            break
        again = step is last and step not in _REPEATED
        if again and step not in _WAITING:
            raise RefusedError(f"{step}: it was done, and has not come about; see `hactl status`, then repeat this")
        if again or not _done(step, plan, facts, run):
            wait.once_more(_goal(step, plan, facts))
        last = step
    return _finish(plan, run)


class _Wait:
    """Between two looks; says what for, when that changes."""

    def __init__(self, plan: Plan, run: Run) -> None:
        self._plan, self._run, self._shown = plan, run, ""

    def once_more(self, goal: str) -> None:
        """Raises NotYetError when there is no more time."""
        if time.monotonic() >= self._run.deadline:
            command = _change(self._plan).command
            raise NotYetError(f"still waiting for {goal}; see to it, then repeat `{command}`: it goes on")
        if goal != self._shown:
            self._shown = goal
            self._run.say(f"waiting for {goal}")
        time.sleep(_AGAIN_S)


def _finish(plan: Plan, run: Run) -> Plan:
    change, done = _change(plan), finished(plan)
    if change.verb in ("remove", "rename"):
        bundles.remove(_leaving(plan), run.places, run.say)
    keep_plan(done, run.places, run.reach.machine, lambda _: None)
    return done


def _goal(step: Step, plan: Plan, facts: Facts) -> str:
    if step is Step.AWAIT_EMPTY:
        return f"{', '.join(facts.node(_leaving(plan)).busy)} to run on other nodes"
    name = _leaving(plan) if step in (Step.STOP, Step.LEAVE) else _change(plan).host.name
    return f"{name} {_WAITING.get(step, f'in etcd: {step}')}"


def _done(step: Step, plan: Plan, facts: Facts, run: Run) -> bool:
    """Do the step; False: etcd is not ready for it yet."""
    try:
        _STEPS[step](plan, facts, run)
    except RefusedError as error:
        if step in _REPEATED and any(words in str(error) for words in _SOON):
            return False
        raise
    return True


def _change(plan: Plan) -> Change:
    assert plan.change is not None
    return plan.change


def _leaving(plan: Plan) -> str:
    """The name of the node that goes."""
    change = _change(plan)
    return change.old if change.verb == "rename" else change.host.name


def _etcdctl(facts: Facts, run: Run) -> Etcdctl:
    """By members that answer and are no learners."""
    return Etcdctl.admin(voters_of(facts.members), run.places)


def _standby(plan: Plan, facts: Facts, run: Run) -> None:
    run.operator.standby(_leaving(plan))


def _confirm(plan: Plan, facts: Facts, run: Run) -> None:
    run.operator.confirm(_leaving(plan))


def _nothing(plan: Plan, facts: Facts, run: Run) -> None:
    """It comes by itself."""


def _stop(plan: Plan, facts: Facts, run: Run) -> None:
    run.reach.stop(_change(plan).host, _leaving(plan))


def _leave(plan: Plan, facts: Facts, run: Run) -> None:
    run.reach.leave(_change(plan).host)


def _configure(plan: Plan, facts: Facts, run: Run) -> None:
    config = load_node(Path(run.places.node_toml))
    with closing(open_etcd(config)) as store:
        text = configuration.check(_change(plan), read_cluster(store, config.cluster).spec, run.places)
        configuration.put_to_use(store, config, text, run.places, run.by, run.say)


def _remove_user(plan: Plan, facts: Facts, run: Run) -> None:
    user = user_of(_leaving(plan))
    _etcdctl(facts, run)("user", "delete", user)
    run.say(f"etcd       the user {user} is deleted")


def _add_member(plan: Plan, facts: Facts, run: Run) -> None:
    host = _change(plan).host
    _etcdctl(facts, run)("member", "add", host.name, "--learner", f"--peer-urls={host.url(PEER_PORT)}")
    run.say(f"etcd       {host.name} may follow, without a vote until it has caught up")


def _remove_member(plan: Plan, facts: Facts, run: Run) -> None:
    member = facts.members.with_id(_change(plan).members)
    assert member is not None
    others = [other for other in facts.members.voters if other.id != member.id]
    etcdctl = Etcdctl.admin(voters_of(facts.members._replace(all=tuple(others))), run.places)
    etcdctl("member", "remove", f"{member.id:x}")
    run.say(f"etcd       the member {called(member)} is removed; it has {len(others)} now")


def _promote(plan: Plan, facts: Facts, run: Run) -> None:
    member = facts.members.at(_change(plan).host.url(PEER_PORT))
    assert member is not None
    _etcdctl(facts, run)("member", "promote", f"{member.id:x}")
    run.say(f"etcd       {called(member)} has caught up and is a member; it has {len(facts.members.voters) + 1} now")


def _make_bundle(plan: Plan, facts: Facts, run: Run) -> None:
    change, config = _change(plan), load_node(Path(run.places.node_toml))
    if plan.etcd is None and change.host in plan.nodes:
        add_node(_etcdctl(facts, run), change.host.name)
    with closing(open_etcd(config)) as store:
        known = read_cluster(store, config.cluster)
    others = [host.name for host in plan.nodes if host.name != change.host.name]
    ids = {name: known.view.sessions[name].record.machine_id for name in others if name in known.view.sessions}
    bundles.make(plan, change.host, ids, run.places, run.reach.machine, run.say)


def _join(plan: Plan, facts: Facts, run: Run) -> None:
    run.reach.join(_change(plan).host, _leaving(plan))


def _forget(plan: Plan, facts: Facts, run: Run) -> None:
    config = load_node(Path(run.places.node_toml))
    with closing(open_etcd(config)) as store:
        known = read_cluster(store, config.cluster)
        forget(store, known.view, known.spec, _leaving(plan))


def _spread(plan: Plan, facts: Facts, run: Run) -> None:
    """The others' settings. One after the other: their daemons restart, and keep all that runs; etcd does not."""
    hosts = [host for host in plan.hosts if host.name in facts.stale]
    by_hand = [host for host in hosts if host != run.reach.me and not run.reach.ssh_user]
    if by_hand:
        run.say("etcd has other members now. Not urgent; on one machine after the other, as root:")
    for host in sorted(hosts, key=lambda host: host in by_hand):
        before = Path(run.places.bundle(host.name)).read_bytes()
        bundles.renewed(plan, host, run.places, run.reach.machine, run.say)
        try:
            run.reach.join(host)
        except BaseException:
            write_atomically(Path(run.places.bundle(host.name)), before)  # a repeat has it join
            raise


_STEPS: dict[Step, Callable[[Plan, Facts, Run], None]] = {
    Step.STANDBY: _standby,
    Step.AWAIT_EMPTY: _nothing,
    Step.STOP: _stop,
    Step.LEAVE: _leave,
    Step.CONFIRM: _confirm,
    Step.CONFIGURE: _configure,
    Step.REMOVE_USER: _remove_user,
    Step.ADD_MEMBER: _add_member,
    Step.REMOVE_MEMBER: _remove_member,
    Step.MAKE_BUNDLE: _make_bundle,
    Step.JOIN: _join,
    Step.PROMOTE: _promote,
    Step.AWAIT_ONLINE: _nothing,
    Step.FORGET: _forget,
    Step.SPREAD: _spread,
}
