"""The Debian package on a real systemd: installed, upgraded under what runs, removed, purged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from nspawn import Machine, booted_machine, root_tree, until

from tests.support.package import built_package, with_version

DEPENDENCIES = (
    "python3",
    "etcd-server",
    "etcd-client",
    "haproxy",
    "nftables",
    "openssl",
    "iproute2",
    "bash-completion",
)

NODE = """cluster = "units"
node = "n1"
self_fence = "log"
"""
CLUSTER = """cluster: units
nodes: [{name: n1, address: 10.9.0.1}]
groups:
  - name: work
    resources:
      - name: address
        vip: {address: 10.9.0.30/24}
      - name: sleep
        exec: {command: [/bin/sleep, "100000"]}
services:
  - {name: web, binds: ["10.9.0.30:80"], port: 8080}
"""
# The drop-in and the settings, as `hactl setup` writes them.
ETCD_DROP_IN = "[Service]\nEnvironmentFile=/etc/hactl/etcd.env\n"
ETCD_ENV = "ETCD_DATA_DIR=/var/lib/etcd/hactl\n"

# What a machine writes by itself.
CHANGING = ("/var/log", "/var/lib/dpkg", "/var/lib/systemd", "/var/cache", "/var/lib/etcd/default", "/tmp", "/var/tmp")


class Installed:
    """The container, and the package in it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def sh(self, command: str) -> str:
        return self.machine.run("sh", "-c", command)

    def ok(self, command: str) -> str:
        output = self.sh(f"{{ {command}; }} 2>&1 && echo and-it-went-well")
        assert output.endswith("and-it-went-well\n"), output
        return output

    def write(self, path: str, text: str) -> None:
        file = Path(f"{self.machine.root}{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def processes(self) -> dict[str, str]:
        """Pid and command line of each process that is hactl's, or started by it."""
        commands = {}
        for place in Path(f"{self.machine.root}/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                commands[place.name] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return {pid: command for pid, command in commands.items() if "hactl" in command or "/bin/sleep" in command}

    def guard(self) -> list[str]:
        return [pid for pid, command in self.processes().items() if "guard.sock" in command]

    def work(self) -> list[str]:
        return [pid for pid, command in self.processes().items() if command.startswith("/bin/sleep 100000")]

    def haproxy(self) -> list[str]:
        return [pid for pid, command in self.processes().items() if "/run/hactl/haproxy" in command]

    def daemon(self) -> str:
        return self.sh("systemctl show --value -p MainPID hactl").strip()

    def runs(self) -> bool:
        return "running" in self.sh('hactl status --json | grep -A12 \'"name": "work"\'')

    def begin(self, more: str = "") -> None:
        """A cluster of this node alone, with etcd as `hactl setup` would set it up."""
        self.ok("ip link add v0 type veth peer name v1 && ip addr add 10.9.0.1/24 dev v0 && ip link set v0 up")
        self.ok("ip link set v1 up")
        self.write("/etc/hactl/node.toml", NODE)
        self.write("/etc/hactl/cluster.yaml", CLUSTER + more)
        self.write("/etc/hactl/etcd.env", ETCD_ENV)
        self.write("/etc/systemd/system/etcd.service.d/hactl.conf", ETCD_DROP_IN)
        self.ok(
            "install -d -o etcd -g etcd -m 700 /var/lib/etcd/hactl && systemctl daemon-reload && systemctl restart etcd"
        )
        self.ok("hactl key create && hactl init /etc/hactl/cluster.yaml")
        self.ok("systemctl enable --now hactl hactl-http")
        until(self.runs)
        until(self.haproxy)

    def state(self) -> dict[str, set[str]]:
        """Everything of the machine that a package could leave behind."""
        prune = " -o ".join(f"-path {path}" for path in CHANGING)
        commands = {
            "files": f"find / -xdev \\( {prune} \\) -prune -o -print",
            "run": "find /run -name '*hactl*'",
            "cgroups": "find /sys/fs/cgroup -name '*hactl*' ! -name '*.service'",
            "users": "cat /etc/passwd /etc/group",
            "sysctl": "sysctl -a 2>/dev/null | grep nonlocal_bind || cat /proc/sys/net/ipv[46]/ip_nonlocal_bind",
            "tables": "nft list tables",
            "addresses": "ip -o addr show scope global | grep -v 10.9.0.1/24 | awk '{print $4}'",
            "enabled": "systemctl list-unit-files --no-legend | awk '{print $1, $2}'",
            "haproxy": "systemctl is-active haproxy; systemctl show --value -p MainPID haproxy",
        }
        return {name: set(self.sh(command).splitlines()) for name, command in commands.items()} | {
            "processes": set(self.processes().values())
        }


# As bash does on Tab.
_COMPLETE = """. /usr/share/bash-completion/completions/hactl
COMP_WORDS=(hactl failover "") COMP_CWORD=2; _hactl_completion hactl; echo "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def package() -> Path:
    return built_package()


@pytest.fixture
def bare(tmp_path: Path, package: Path) -> Iterator[Installed]:
    """A machine without hactl; the package is at its own path, a later version at /later.deb."""
    later = with_version(package, "+1", tmp_path)
    tree = lambda: root_tree("package", DEPENDENCIES)  # noqa: E731
    with booted_machine(tmp_path / "console", [package.parent, f"{later}:/later.deb"], tree) as machine:
        installed = Installed(machine)
        installed.write("/etc/hosts", "127.0.0.1 localhost\n")
        yield installed


def test_from_the_installation_to_a_purge_that_leaves_nothing(bare: Installed, package: Path) -> None:
    before = bare.state()
    bare.ok(f"dpkg -i {package}")
    # Nothing is started, and HAProxy's own service goes on.
    assert bare.state()["haproxy"] == before["haproxy"]
    assert bare.sh("systemctl is-enabled hactl hactl-http").split() == ["disabled", "disabled"]
    assert bare.processes() == {}
    bare.begin()

    assert bare.sh(f"bash -c '{_COMPLETE}'").split() == ["work"]

    work, guard, daemon = bare.work(), bare.guard(), bare.daemon()
    bare.ok("dpkg -i /later.deb")
    until(lambda: bare.daemon() not in ("0", daemon) and bare.runs())
    assert (bare.work(), bare.guard()) == (work, guard)
    assert len(work) == len(guard) == 1
    assert "+1" in bare.sh("dpkg-query -W hactl")

    # No other node is there.
    said = bare.sh("dpkg --remove hactl")
    assert "work cannot be handed over" in said
    assert "HACTL_REMOVE=force" in said
    until(bare.runs)
    assert (bare.work(), bare.guard()) == (work, guard)

    said = bare.ok("HACTL_REMOVE=force dpkg --remove hactl")
    assert "hactl is stopped" in said
    assert bare.processes() == {}
    removed = bare.state()
    for part in ("run", "cgroups", "sysctl", "tables", "addresses"):
        assert removed[part] == before[part], part
    assert "/etc/hactl/node.toml" in removed["files"]

    bare.ok("dpkg --purge hactl")
    after = bare.state()
    assert {part: after[part] - before[part] for part in before} == {part: set() for part in before}
    assert bare.sh("systemctl is-active etcd").strip() == "inactive"


def test_an_upgrade_that_cannot_use_the_settings_leaves_the_daemon_alone(bare: Installed, package: Path) -> None:
    bare.ok(f"dpkg -i {package}")
    bare.begin()
    daemon, work = bare.daemon(), bare.work()
    bare.write("/etc/hactl/node.toml", f"{NODE}retired = 1\n")
    said = bare.sh("dpkg -i /later.deb")
    assert "retired: unknown key" in said
    assert "dpkg --configure hactl" in said
    assert (bare.daemon(), bare.work()) == (daemon, work)
    bare.write("/etc/hactl/node.toml", NODE)
    bare.ok("dpkg --configure hactl")
    until(lambda: bare.daemon() not in ("0", daemon) and bare.runs())
    assert bare.work() == work


def test_in_standby_an_upgrade_brings_a_new_guard(bare: Installed, package: Path) -> None:
    bare.ok(f"dpkg -i {package}")
    bare.begin()
    bare.ok("hactl node standby n1 --force --drain-timeout 0s")
    until(lambda: not bare.work())
    (guard,) = bare.guard()
    bare.ok("dpkg -i /later.deb")
    until(lambda: len(bare.guard()) == 1 and bare.guard() != [guard])
    bare.ok("hactl node online n1")
    until(lambda: bare.runs() and bare.work())


def test_without_a_daemon_the_removal_is_refused_while_something_may_run(bare: Installed, package: Path) -> None:
    bare.ok(f"dpkg -i {package}")
    bare.begin("timing: {lease: 60s, stop_budget: 10s}\n")
    work = bare.work()
    bare.ok("systemctl stop hactl")
    said = bare.sh("dpkg --remove hactl")
    assert "no daemon answers that could hand it over: `systemctl start hactl` first" in said
    assert bare.work() == work
    bare.ok("systemctl start hactl")
    until(bare.runs)
    assert bare.work() == work
