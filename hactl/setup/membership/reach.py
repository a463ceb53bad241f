"""Has something done on a machine: here, by ssh, or by the operator, who is told what to type."""

from __future__ import annotations

from typing import NamedTuple

from hactl.setup.files import Say
from hactl.setup.join import join, read_bundle
from hactl.setup.machine import Machine
from hactl.setup.places import Places
from hactl.setup.plan import Host
from hactl.setup.ssh import by_hand, join_by_ssh, run_by_ssh

# Ends hactl and etcd on a machine that is no part of the cluster any more; its files stay.
_LEAVE = "if command -v hactl >/dev/null; then hactl uninstall; fi && systemctl disable --now hactl hactl-http etcd"
_STOP = "systemctl stop hactl"


class Reach(NamedTuple):
    """`me`: the machine that this is; `ssh_user`: "" for no ssh."""

    me: Host | None
    ssh_user: str
    places: Places
    machine: Machine
    say: Say

    def join(self, host: Host, before: str = "") -> None:
        """Have it be what its join file says. `before`: its name until then, if another. Raises RefusedError."""
        file = self.places.bundle(host.name)
        if host == self.me:
            join(read_bundle(file), self.places, self.machine, self.say)
        elif self.ssh_user:
            join_by_ssh(host, file, self.ssh_user, self.say)
        else:
            self.say(f"on {before or host.name}, as root: {by_hand(host, file)}")

    def stop(self, host: Host, name: str) -> None:
        """Have its daemon end; `name`: of the node. Raises RefusedError."""
        if host == self.me:
            self.machine.stop("hactl")
        elif self.ssh_user:
            run_by_ssh(host, _STOP, self.ssh_user, self.say)
        else:
            self.say(f"on {name}, as root: {_STOP}")

    def leave(self, host: Host) -> None:
        """Have hactl and etcd end there. Raises RefusedError."""
        if self.ssh_user:
            run_by_ssh(host, _LEAVE, self.ssh_user, self.say)
        else:
            self.say(f"on {host.name}, as root: apt purge -y hactl")
