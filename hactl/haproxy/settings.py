"""Where HAProxy and its files are on this node."""

from __future__ import annotations

from dataclasses import dataclass


class HaproxyError(Exception):
    """HAProxy cannot be driven as wanted. The message says why, in HAProxy's words where it has some."""


@dataclass(frozen=True, slots=True)
class HaproxySettings:
    """`run_dir` survives the daemon, need not survive a reboot, and must be short: it holds unix sockets, whose paths
    the kernel bounds to 107 bytes. `binary`: a name to be found or a path. `keep_dir`: for files that survive a reboot;
    "": none do."""

    run_dir: str
    binary: str = "haproxy"
    keep_dir: str = ""

    @property
    def config_file(self) -> str:
        """The file that HAProxy reads when it is started or reloaded."""
        return f"{self.run_dir}/haproxy.cfg"

    @property
    def staged_file(self) -> str:
        """The file that is validated before it becomes `config_file`; left there when it is refused."""
        return f"{self.run_dir}/haproxy.cfg.staged"

    @property
    def good_file(self) -> str:
        """A copy of the configuration with which HAProxy is known to run."""
        return f"{self.run_dir}/haproxy.cfg.good"

    def kept_file(self, process: str) -> str:
        """The last good configuration of this process, for the start after a reboot; "": none is kept."""
        return f"{self.keep_dir}/{process.lstrip('@')}.cfg" if self.keep_dir else ""

    @property
    def health_file(self) -> str:
        """The results of the checks, from a HAProxy that a reload is replacing to the new one; else empty."""
        return f"{self.run_dir}/haproxy.health"

    @property
    def certificates_file(self) -> str:
        """Digests of the certificates that HAProxy is known to have read."""
        return f"{self.run_dir}/haproxy.certificates.json"

    @property
    def stats_socket(self) -> str:
        """The workers' runtime API."""
        return f"{self.run_dir}/stats.sock"

    @property
    def master_socket(self) -> str:
        """The master's command line: reload, show proc."""
        return f"{self.run_dir}/master.sock"
