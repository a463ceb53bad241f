"""Any sequence of changes, each interrupted anywhere: etcd has a majority, and the plan is what there is."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from election.etcd.facts import EtcdMember
from hactl.setup.authority import user_of
from hactl.setup.errors import BadInputError, RefusedError
from hactl.setup.membership import planning
from hactl.setup.membership.quorum import Members
from hactl.setup.membership.steps import Facts, NodeFacts, Step, next_step, refusal
from hactl.setup.plan import CLIENT_PORT, PEER_PORT, Host, Plan

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")
MOST_STEPS = 30


def host(name: str) -> Host:
    return Host(name, f"10.0.0.{NAMES.index(name) + 11}" if name in NAMES else "10.0.0.99")


@dataclass
class World:
    """A cluster as its parts are: what each step changes. `down`: machines that are off, by address."""

    plan: Plan
    members: list[EtcdMember] = field(default_factory=list)
    alive: dict[str, str] = field(default_factory=dict)
    standby: set[str] = field(default_factory=set)
    unsafe: set[str] = field(default_factory=set)
    remembered: set[str] = field(default_factory=set)
    configured: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    bundles: dict[str, float] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    now: float = 1.0
    last_id: int = 0

    @classmethod
    def begun(cls, *names: str) -> World:
        world = cls(Plan("prod", tuple(map(host, names)), "t", even=True))
        for name in names:
            world.members.append(world.member(host(name), name))
            world.alive[name] = host(name).address
        world.configured, world.users = set(names), set(map(user_of, names))
        return world

    def member(self, machine: Host, name: str = "", *, learner: bool = False) -> EtcdMember:
        self.last_id += 1
        urls = (machine.url(CLIENT_PORT),) if name else ()
        return EtcdMember(self.last_id, name, urls, learner, (machine.url(PEER_PORT),))

    def off(self, name: str) -> None:
        """A power cut, which its peers have seen."""
        machine = self.plan.host(name)
        assert machine is not None
        self.down.add(machine.address)
        if self.alive.pop(name, None):
            self.unsafe.add(name)

    def facts(self) -> Facts:
        answering = {m.id for m in self.members if m.urls and not any(f"//{at}:" in m.urls[0] for at in self.down)}
        if len([m for m in self.members if not m.learner and m.id in answering]) * 2 <= len(self.voters):
            answering = set()
        change = self.plan.change
        names = {*self.alive, *self.unsafe, *self.remembered, *self.standby}
        return Facts(
            Members(tuple(self.members), frozenset(answering)),
            frozenset(self.users),
            change is not None and self.bundles.get(change.host.name, 0) >= change.at,
            self.configured == {node.name for node in self.plan.nodes},
            {
                name: NodeFacts(
                    name in self.alive,
                    name in self.standby,
                    name in self.unsafe,
                    remembered=bool({name} & (self.remembered | self.standby)),
                )
                for name in names
            },
        )

    @property
    def voters(self) -> list[EtcdMember]:
        return [member for member in self.members if not member.learner]

    def do(self, step: Step) -> None:
        change = self.plan.change
        assert change is not None
        name, leaving = change.host.name, change.old if change.verb == "rename" else change.host.name
        peer = change.host.url(PEER_PORT)
        match step:
            case Step.STANDBY:
                self.standby.add(leaving)
            case Step.STOP | Step.LEAVE:
                del self.alive[leaving]
                self.remembered.add(leaving)
            case Step.CONFIRM:
                self.unsafe.discard(leaving)
                self.remembered.add(leaving)
            case Step.CONFIGURE:
                self.configured = {node.name for node in self.plan.nodes}
            case Step.REMOVE_USER:
                self.users.discard(user_of(leaving))
            case Step.ADD_MEMBER:
                self.members.append(self.member(change.host, learner=True))
            case Step.REMOVE_MEMBER:
                self.members = [member for member in self.members if member.id not in change.members]
            case Step.MAKE_BUNDLE:
                self.users.add(user_of(name))
                self.bundles[name] = self.now
            case Step.JOIN | Step.AWAIT_ONLINE:
                self.down.discard(change.host.address)
                self.alive[name] = change.host.address
                self.members = [
                    m._replace(name=name, urls=(change.host.url(CLIENT_PORT),)) if peer in m.peer_urls else m
                    for m in self.members
                ]
            case Step.PROMOTE:
                self.members = [m._replace(learner=False) if peer in m.peer_urls else m for m in self.members]
            case Step.FORGET:
                self.remembered.discard(leaving)
                self.standby.discard(leaving)
            case _:
                raise AssertionError(step)

    def begin(self, plan: Plan) -> None:
        change = plan.change
        assert change is not None
        if change == self.plan.change:
            return
        old = self.plan.host(change.host.name)
        if change.verb in ("remove", "replace") and old:
            ids = tuple(member.id for member in self.members if old.url(PEER_PORT) in member.peer_urls)
            plan = msgspec.structs.replace(plan, change=msgspec.structs.replace(change, members=ids))
        before, self.plan = self.plan, plan
        if problem := refusal(plan, self.facts()):
            self.plan = before
            raise RefusedError(problem)

    def go(self, steps: int = MOST_STEPS) -> list[Step]:
        """Go on with the change, for so many steps; those that were done."""
        done: list[Step] = []
        while len(done) < steps and (step := next_step(self.plan, self.facts())) is not None:
            self.do(step)
            done.append(step)
            assert self.has_majority(), (self.plan.change, done)
            assert sum(member.learner for member in self.members) <= 1
        if len(done) < steps:
            self.plan = planning.finished(self.plan)
        assert len(done) < MOST_STEPS, done
        return done

    def has_majority(self) -> bool:
        return bool(self.facts().members.answering)


def test_a_member_comes() -> None:
    world = World.begun("n1", "n2", "n3")
    world.begin(planning.added(world.plan, "n4=10.0.0.14", member=True, now=2.0))
    world.now = 3.0
    assert world.go() == [Step.ADD_MEMBER, Step.MAKE_BUNDLE, Step.JOIN, Step.PROMOTE, Step.CONFIGURE]


def test_a_node_goes() -> None:
    world = World.begun("n1", "n2", "n3")
    world.begin(planning.removed(world.plan, "n3", host("n1"), now=2.0))
    steps = [Step.STANDBY, Step.CONFIGURE, Step.REMOVE_MEMBER, Step.LEAVE, Step.REMOVE_USER, Step.FORGET]
    assert world.go() == steps


def test_a_node_is_replaced() -> None:
    world = World.begun("n1", "n2", "n3")
    world.off("n3")
    world.begin(planning.replaced(world.plan, "n3", host("n1"), now=2.0))
    world.now = 3.0
    steps = [Step.CONFIRM, Step.REMOVE_MEMBER, Step.ADD_MEMBER, Step.MAKE_BUNDLE, Step.JOIN, Step.PROMOTE]
    assert world.go() == steps


def test_a_node_gets_another_name() -> None:
    world = World.begun("n1", "n2", "n3")
    world.begin(planning.renamed(world.plan, "n3", "db1", now=2.0))
    world.now = 3.0
    steps = [Step.STANDBY, Step.STOP, Step.CONFIGURE, Step.MAKE_BUNDLE, Step.JOIN, Step.REMOVE_USER, Step.FORGET]
    assert world.go() == steps
    assert [node.name for node in world.plan.nodes] == ["n1", "n2", "db1"]


def asked(world: World, data: st.DataObject) -> Plan:
    """A change that somebody asks for, whether it makes sense or not."""
    world.now += 1.0
    here, name = world.plan.nodes[0], data.draw(st.sampled_from(NAMES))
    match data.draw(st.sampled_from(["add", "remove", "replace", "rename", "go on"])):
        case "add":
            member = data.draw(st.sampled_from([None, True, False]))
            return planning.added(world.plan, host(name).text, member=member, now=world.now)
        case "remove":
            return planning.removed(world.plan, name, here, now=world.now)
        case "replace":
            return planning.replaced(world.plan, name, here, now=world.now)
        case "rename":
            return planning.renamed(world.plan, name, data.draw(st.sampled_from(NAMES)), now=world.now)
    return world.plan


@given(st.data())
def test_etcd_has_a_majority_all_the_time(data: st.DataObject) -> None:
    world = World.begun(*NAMES[: data.draw(st.integers(1, 5))])
    for _ in range(data.draw(st.integers(1, 8))):
        if data.draw(st.integers(0, 4)) == 0:
            victim = data.draw(st.sampled_from([node.name for node in world.plan.nodes[1:]] or [""]))
            before = (set(world.down), dict(world.alive), set(world.unsafe))
            if victim:
                world.off(victim)
            if not world.has_majority():  # no command repairs that
                world.down, world.alive, world.unsafe = before
        try:
            plan = asked(world, data)
            if plan.change is not None:
                world.begin(plan)
            world.go(data.draw(st.integers(0, MOST_STEPS)))
        except (RefusedError, BadInputError):
            pass
        assert world.has_majority()
        if world.plan.change is None:
            named = {node.name for node in world.plan.nodes}
            assert world.configured == named and world.users == set(map(user_of, named))
            assert {m.peer_urls[0] for m in world.members} == {m.url(PEER_PORT) for m in world.plan.members}
            assert not any(member.learner for member in world.members)
