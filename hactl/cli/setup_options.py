"""The options of `hactl setup` and of the commands that bring files to other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_NODES = "The nodes. Not needed for a repeat, which goes on."
_PREPARE = "Create the files for all machines, and stop there: no machine joins."

Nodes = Annotated[list[str] | None, typer.Argument(metavar="NAME=ADDRESS...", help=_NODES)]
ClusterName = Annotated[str, typer.Option("--cluster", metavar="NAME", help="The cluster's name.")]
Witness = Annotated[
    str, typer.Option("--witness", metavar="NAME=ADDRESS", help="A machine that runs only etcd, beside two nodes.")
]
Ssh = Annotated[bool, typer.Option("--ssh", help="Have the other machines join by ssh.")]
SshUser = Annotated[
    str, typer.Option("--ssh-user", metavar="USER", help="The user for --ssh; one other than root uses sudo.")
]
Profile = Annotated[
    str,
    typer.Option("--profile", metavar="PROFILE", help="The timing, of cluster.yaml and of etcd: default, fast or wan."),
]
AcceptEven = Annotated[bool, typer.Option("--accept-even-members", help="Allow an even number of etcd members.")]
Endpoints = Annotated[
    str, typer.Option("--etcd-endpoints", metavar="URLS", help="Use this etcd, in place of a new one.")
]
EtcdCa = Annotated[
    Path | None, typer.Option("--etcd-ca", metavar="FILE", help="The authority of that etcd's certificates.")
]
EtcdCert = Annotated[Path | None, typer.Option("--etcd-cert", metavar="FILE", help="The client certificate for it.")]
EtcdKey = Annotated[Path | None, typer.Option("--etcd-key", metavar="FILE", help="The key of that certificate.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for the other machines.")]
Prepare = Annotated[bool, typer.Option("--prepare", help=_PREPARE)]
Check = Annotated[bool, typer.Option("--check", help="Change nothing: say what would be done.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, for programs: `changed`, and the `changes` in words.")
]
JoinFile = Annotated[str, typer.Argument(metavar="FILE", help="The join file of this machine; `-`: standard input.")]
