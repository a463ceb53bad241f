"""`hactl setup`, `hactl setup join`: from empty machines to a cluster."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

from hactl.cli.common import CliError, refusals, say, tell, user_name
from hactl.cli.fast_status import show_status
from hactl.cli.options import seconds
from hactl.cli.setup_options import (
    AcceptEven,
    AsJson,
    Check,
    ClusterName,
    Endpoints,
    EtcdCa,
    EtcdCert,
    EtcdKey,
    JoinFile,
    Nodes,
    Prepare,
    Profile,
    Ssh,
    SshUser,
    Timeout,
    Witness,
)

if TYPE_CHECKING:
    from hactl.setup.plan import OwnEtcd, Plan

DEFAULT_COMMAND = "cluster"


class SetupGroup(TyperGroup):
    """`hactl setup --cluster …` is `hactl setup cluster --cluster …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say the command where it was left out."""
        if not args or args[0] not in self.commands:
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


def cluster(
    nodes: Nodes = None,
    cluster: ClusterName = "",
    witness: Witness = "",
    ssh: Ssh = False,
    ssh_user: SshUser = "root",
    profile: Profile = "default",
    accept_even_members: AcceptEven = False,
    etcd_endpoints: Endpoints = "",
    etcd_ca: EtcdCa = None,
    etcd_cert: EtcdCert = None,
    etcd_key: EtcdKey = None,
    timeout: Timeout = "15m",
    prepare: Prepare = False,
    check: Check = False,
    as_json: AsJson = False,
) -> None:
    """Set up a new cluster from this machine. On the others: `hactl setup join FILE`.

    Creates an authority, certificates, the cluster's key, a new etcd, node.toml and a first cluster.yaml; says what to
    type on the other machines; waits for them; begins the cluster. It may be interrupted and repeated: it goes on.
    """
    from hactl.setup.first import agreed_plan, foresee, prepare_only, set_up  # noqa: PLC0415 - half a second
    from hactl.setup.machine import Machine, UnchangedMachine  # noqa: PLC0415
    from hactl.setup.places import Places  # noqa: PLC0415

    report = Report(check=check, as_json=as_json)
    with refusals():
        etcd = _own_etcd(etcd_endpoints, etcd_ca, etcd_cert, etcd_key)
        places, deadline = Places(), time.monotonic() + seconds(timeout)
        given = _given(cluster, nodes or [], witness, etcd, profile, even=accept_even_members)
        plan = agreed_plan(given, places)
        if check:
            foresee(plan, places, UnchangedMachine(), report.say)
        elif prepare:
            prepare_only(plan, places, Machine(), report.say)
        else:
            by, user = user_name(), ssh_user if ssh else ""
            set_up(plan, places, Machine(), report.say, by=by, ssh_user=user, deadline=deadline)
    levels = set() if check or prepare else _well(plan, Path(places.node_toml), deadline, report, as_json=as_json)
    report.end()
    if "error" in levels:
        raise CliError("the cluster is set up, and has errors: `hactl status` says what to do")


def _well(plan: Plan, node_toml: Path, deadline: float, report: Report, *, as_json: bool) -> set[str]:
    """Wait until all nodes are well, and show the status; the levels of its warnings."""
    from hactl.cli.setup_wait import wait_well  # noqa: PLC0415 - as the room's
    from hactl.config.node import load_node  # noqa: PLC0415
    from hactl.setup.machine import Machine  # noqa: PLC0415

    levels = wait_well(load_node(node_toml), Machine(), [host.name for host in plan.nodes], deadline, report.say)
    if not as_json:
        show_status(as_json=False, config=node_toml)
    return levels


def join(file: JoinFile, check: Check = False, as_json: AsJson = False) -> None:
    """Make this machine a part of the cluster, by the file that `hactl setup` made for it. It may be repeated."""
    from hactl.setup.join import join as join_by  # noqa: PLC0415
    from hactl.setup.join import read_bundle  # noqa: PLC0415
    from hactl.setup.machine import Machine, UnchangedMachine  # noqa: PLC0415
    from hactl.setup.places import Places  # noqa: PLC0415

    report = Report(check=check, as_json=as_json)
    with refusals():
        bundle = read_bundle(file)
        started = join_by(bundle, Places(), UnchangedMachine() if check else Machine(), report.say)
    report.end()
    if not (check or as_json):
        joined = "has joined" if started else "has what it needs"
        say(f"{bundle.host.name} {joined}, as a {'node' if bundle.node else 'witness'} of {bundle.cluster}")


class Report:
    """What a command says, as lines or, for programs, as one JSON object beside them. `check`: nothing was done."""

    def __init__(self, *, check: bool, as_json: bool) -> None:
        self._check, self._as_json = check, as_json
        self._changes: list[str] = []
        if check and not as_json:
            say("nothing is changed; without --check:")

    def say(self, line: str) -> None:
        """A line, as soon as it is known."""
        from hactl.setup.files import Change  # noqa: PLC0415 - slow

        if isinstance(line, Change):
            self._changes.append(str(line))
        (tell if self._as_json else say)(line)

    def end(self) -> None:
        """The end of what was said."""
        if self._as_json:
            say(json.dumps({"changed": bool(self._changes), "changes": self._changes}))
        elif self._check and not self._changes:
            say("no change")


def _given(name: str, nodes: list[str], witness: str, etcd: OwnEtcd | None, profile: str, *, even: bool) -> Plan | None:
    """The plan that was typed; None: nothing was. Raises BadInputError."""
    from hactl.setup.begin import new_token  # noqa: PLC0415
    from hactl.setup.errors import BadInputError  # noqa: PLC0415
    from hactl.setup.plan import make_plan  # noqa: PLC0415

    if not (name or nodes or witness or etcd):
        return None
    if not name:
        raise BadInputError("the cluster has no name: give `--cluster NAME`")
    return make_plan(name, nodes, token=new_token(name), witness=witness, etcd=etcd, profile=profile, even=even)


def _own_etcd(endpoints: str, ca: Path | None, cert: Path | None, key: Path | None) -> OwnEtcd | None:
    from hactl.setup.errors import BadInputError  # noqa: PLC0415
    from hactl.setup.plan import OwnEtcd  # noqa: PLC0415

    if not endpoints:
        if ca or cert or key:
            raise BadInputError("--etcd-ca, --etcd-cert, --etcd-key are for `--etcd-endpoints URLS`: give it, too")
        return None
    paths = [str(path.absolute()) if path else "" for path in (ca, cert, key)]
    return OwnEtcd(tuple(url.strip() for url in endpoints.split(",")), *paths)
