"""`hactl node add|remove|replace|rename`: machines come and go while the cluster runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from election.store import StoreError
from hactl.cli.common import CliError, confirmed, refusals, say, user_name
from hactl.cli.completion import nodes
from hactl.cli.fast_status import show_status
from hactl.cli.node import confirm, standby
from hactl.cli.options import Node, Yes, seconds
from hactl.cli.setup_options import Ssh, SshUser

if TYPE_CHECKING:
    from hactl.setup.plan import Host, Plan

Machine = Annotated[str, typer.Argument(metavar="NAME=ADDRESS", help="The machine's name and address.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for machines.")]
Dead = Annotated[
    bool,
    typer.Option("--dead", help="The machine is off, or runs nothing any more: as `hactl fence confirm`, which asks."),
]
DrainTimeout = Annotated[
    str, typer.Option("--drain-timeout", metavar="DURATION", help="How long open sessions may last; 0s: no drain.")
]
Change = Callable[["Plan", "Host | None", float], "Plan"]


def add(
    machine: Machine,
    etcd: Annotated[
        bool | None,
        typer.Option("--etcd/--no-etcd", help="With a member of etcd. Default: if etcd has too few for all nodes."),
    ] = None,
    ssh: Ssh = False,
    ssh_user: SshUser = "root",
    timeout: Timeout = "15m",
) -> None:
    """Add a machine to the cluster, or (`--etcd`) a member of etcd to a node. The machine has the package.

    It follows etcd without a vote until it has caught up, so that etcd has a majority all the time. The command may be
    interrupted and repeated: it goes on.
    """
    from hactl.setup.membership.planning import added  # noqa: PLC0415 - as all of the room

    def planned(plan: Plan, here: Host | None, now: float) -> Plan:
        return added(plan, machine, member=etcd, now=now)

    plan = _change(planned, ssh_user if ssh else "", timeout)
    name = machine.partition("=")[0]
    if not plan.etcd and name in plan.without_member:
        say(
            f"{name} is a node, without a member of etcd: there are {len(plan.members)}, which are enough (to give it "
            f"one: `hactl node add {name} --etcd`)"
        )
    else:
        say(f"{name} is a node")
    _warn_of_even(plan)
    show_status(as_json=False, config=_node_toml())


def remove(
    node: Node,
    dead: Dead = False,
    yes: Yes = False,
    ssh: Ssh = False,
    ssh_user: SshUser = "root",
    drain_timeout: DrainTimeout = "30s",
    timeout: Timeout = "15m",
) -> None:
    """Take a machine out of the cluster: its groups leave it first. Also a witness.

    Refused where etcd would have no majority without it. The command may be interrupted and repeated: it goes on.
    """
    from hactl.setup.membership.planning import removed  # noqa: PLC0415

    if not yes and not confirmed(f"Take {node} out of the cluster?"):
        raise CliError("not confirmed: nothing was done")

    def planned(plan: Plan, here: Host | None, now: float) -> Plan:
        return removed(plan, node, here, now=now)

    plan = _change(planned, ssh_user if ssh else "", timeout, dead=dead, yes=yes, drain_timeout=drain_timeout)
    say(f"{node} is no part of the cluster any more")
    if not plan.etcd:
        say(
            f"etcd accepts the certificates on {node}, that of `root` among them, until they end: `apt purge hactl` "
            "there deletes them; a disk that leaves your hands must be wiped"
        )
    _warn_of_even(plan)
    show_status(as_json=False, config=_node_toml())


def replace(
    machine: Annotated[
        str,
        typer.Argument(
            metavar="NAME[=ADDRESS]",
            help="The node's name; the new machine's address, if another.",
            autocompletion=nodes,
        ),
    ],
    dead: Dead = False,
    yes: Yes = False,
    ssh: Ssh = False,
    ssh_user: SshUser = "root",
    timeout: Timeout = "15m",
) -> None:
    """Put a new machine, or a reinstalled one, in the place of a machine that was lost. The new one has the package.

    The old one must be known to be stopped, and must not come back. The command may be repeated: it goes on.
    """
    from hactl.setup.membership.planning import replaced  # noqa: PLC0415

    def planned(plan: Plan, here: Host | None, now: float) -> Plan:
        return replaced(plan, machine, here, now=now)

    plan = _change(planned, ssh_user if ssh else "", timeout, dead=dead, yes=yes)
    name = machine.partition("=")[0]
    say(f"{name} is a new machine now" + ("" if plan.etcd else "; etcd accepts the old one's certificates, too"))
    show_status(as_json=False, config=_node_toml())


def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The machine's name.", autocompletion=nodes)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    ssh: Ssh = False,
    ssh_user: SshUser = "root",
    drain_timeout: DrainTimeout = "30s",
    timeout: Timeout = "15m",
) -> None:
    """Give a machine another name, wherever the cluster names it. Groups leave it first; its daemon and etcd restart.

    The host name is not changed. The command may be interrupted and repeated: it goes on.
    """
    from hactl.setup.membership.planning import renamed  # noqa: PLC0415

    def planned(plan: Plan, here: Host | None, now: float) -> Plan:
        return renamed(plan, old, new, now=now)

    _change(planned, ssh_user if ssh else "", timeout, drain_timeout=drain_timeout)
    say(f"{old} is {new} now")
    show_status(as_json=False, config=_node_toml())


def _change(
    planned: Change, ssh_user: str, timeout: str, *, dead: bool = False, yes: bool = False, drain_timeout: str = "0s"
) -> Plan:
    """Carry out a change; the plan that came out of it."""
    from hactl.setup.machine import Machine as ThisMachine  # noqa: PLC0415
    from hactl.setup.membership.carry_out import Operator, Run, alone, begin, carry_out, machine_here, plan_here  # noqa: PLC0415
    from hactl.setup.membership.reach import Reach  # noqa: PLC0415
    from hactl.setup.places import Places  # noqa: PLC0415

    places, machine, deadline = Places(), ThisMachine(), time.monotonic() + seconds(timeout)
    with _refusals():
        before = plan_here(places, machine)
        here = machine_here(before, machine)
        operator = Operator(_standby(drain_timeout), _confirm(dead=dead, yes=yes))
        with alone(places):
            plan = planned(before, here, machine.now())
            here = machine_here(plan, machine)
            run = Run(Reach(here, ssh_user, places, machine, _say), operator, user_name(), deadline)
            return carry_out(begin(before, plan, run), run)


def _say(line: str) -> None:
    """What is changed, and waited for."""
    if "unchanged  " not in line:
        say(line)


@contextmanager
def _refusals() -> Iterator[None]:
    with refusals():
        try:
            yield
        except StoreError as error:
            raise CliError(f"etcd: {error}; repeat this when it is well (`hactl etcd status`): it goes on") from None


def _standby(drain_timeout: str) -> Callable[[str], None]:
    return lambda node: standby(node, drain_timeout=drain_timeout, wait=False)


def _confirm(*, dead: bool, yes: bool) -> Callable[[str], None]:
    def word(node: str) -> None:
        if not dead:
            raise CliError(
                f"{node}'s last session is not known to be stopped: start hactl there; or, if it is off and stays off, "
                "repeat this with `--dead`"
            )
        confirm(node, yes=yes)

    return word


def _warn_of_even(plan: Plan) -> None:
    count = len(plan.members)
    if count and count % 2 == 0:
        say(f"etcd has {count} members: an even number survives the loss of no more than {count - 1} do")


def _node_toml() -> Path:
    from hactl.setup.places import Places  # noqa: PLC0415

    return Path(Places().node_toml)
