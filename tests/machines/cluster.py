"""Three machines with hactl on them, and what an operator runs there: a web service on each, behind HAProxy and an
address that moves without a loss, and an application that runs on one machine at a time."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hactl.lab.system import wait_until
from tests.machines import debian, manual
from tests.machines.machine import BOOT_S, Machine
from tests.machines.phases import RUN
from tests.machines.rack import Rack, together

SETUP_S = 180.0
# What says only that the computer on which the tests run has more to do than it can.
_BUSY = re.compile("did not get to run|slow|far from each other")
HERE = Path(__file__).parent
WEB_VIP, APP_VIP = "10.77.0.30", "10.77.0.31"
WEB, APP = f"{WEB_VIP}:80", f"{APP_VIP}:9000"

CONFIGURATION = """cluster: prod
nodes:
{nodes}
fencing:
  devices:
    - name: pdu
      agent: fence_lab
      timeout: 5s
      status_timeout: 5s
      options: {{ip: {switch}, ipport: 7700, password: {{file: /etc/hactl/secrets/pdu}}}}
groups:
  - name: vip
    overlap: true
    resources:
      - name: web-address
        vip: {{address: {web_vip}/24}}
  - name: app
    fencing: required
    resources:
      - name: app-address
        vip: {{address: {app_vip}/24}}
      - name: app
        systemd: {{unit: app.service}}
services:
  - name: web
    binds: ["{web}"]
    port: 8000
    mode: http
    check: {{http: /}}
"""
LEVELS = "[{{devices: [{{device: pdu, plug: {1.name}}}]}}]"
NODE = f"  - {{{{name: {{0}}, address: {{1.address}}, fencing: {{{{levels: {LEVELS}}}}}}}}}"
UNIT = """[Unit]
Description=an application
After=network.target
[Service]
ExecStart=/usr/bin/python3 -I /usr/local/lib/answer.py {address} {port}
DynamicUser=yes
[Install]
WantedBy=multi-user.target
"""


class Cluster:
    """hactl on the machines of a rack."""

    def __init__(self, rack: Rack, recommended: bool, witness: str = "") -> None:
        """`recommended`: install also the packages that hactl's recommends. `witness`: the machine that has etcd
        alone."""
        self.rack = rack
        self._witness = witness
        self.nodes = {machine.name: machine for machine in rack.first_three if machine.name != witness}
        self._recommended = recommended

    @property
    def machines(self) -> list[Machine]:
        """Those that are its nodes. The first one has the authority."""
        return list(self.nodes.values())

    def configuration(self) -> str:
        """The cluster.yaml that an operator writes."""
        return CONFIGURATION.format(
            nodes="\n".join(NODE.format(name, machine) for name, machine in self.nodes.items()),
            switch=self.rack.spec.switch.address,
            web_vip=WEB_VIP,
            app_vip=APP_VIP,
            web=WEB,
        )

    # Installed and set up

    def install(self, machines: list[Machine], deb: Path | None = None) -> None:
        """`apt install` on these machines, all at once."""
        source = deb or debian.package()
        command = (
            manual.command("install.md", "apt install")
            .replace("install", "install -y", 1)
            .replace(debian.package().name, source.name)
        )
        if not self._recommended:
            command = command.replace("install", "install --no-install-recommends", 1)
        for machine in machines:
            machine.copy(source, f"/root/{source.name}")
        together(machines, lambda machine: machine.type(command, timeout_s=600))

    def applications(self, machines: list[Machine]) -> None:
        """What the machines are there for."""
        for machine in machines:
            self.rack.install_fence_agent(machine)
            machine.copy(HERE / "answer.py", "/usr/local/lib/answer.py")
            for name, address, port in (("web", machine.address, 8000), ("app", "0.0.0.0", 9000)):
                machine.write(f"/etc/systemd/system/{name}.service", UNIT.format(address=address, port=port))
            machine.run("systemctl", "daemon-reload")
            machine.run("systemctl", "enable", "--now", "web")

    def set_up_by_ssh(self) -> str:
        """One command on the first machine."""
        return self.machines[0].type(f"{self._setup} --ssh", timeout_s=SETUP_S)

    def set_up_by_files(self) -> str:
        """One command on each machine; the others' files are brought there while the first one waits."""
        first, *others = self.machines
        scp, join = manual.command("install.md", "scp"), manual.command("install.md", "hactl setup join")
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(first.type, self._setup, timeout_s=SETUP_S)
            for other in others:
                file = first.path(f"/etc/hactl/ca/join/{other.name}.join")
                wait_until(lambda: file.exists() or waits.done(), deadline_s=SETUP_S, goal=f"{file} is there")  # noqa: B023
                first.type(scp.replace("n2", other.name).replace("10.77.0.12", other.address))
                other.type(join.replace("n2", other.name), timeout_s=SETUP_S)
            return waits.result()

    @property
    def _setup(self) -> str:
        page, begins = ("witness.md", "hactl setup") if self._witness else ("install.md", "hactl setup --cluster")
        return manual.command(page, begins).replace(" w=", f" {self._witness}=")

    def begin_again(self) -> None:
        """Remove the cluster from all machines."""
        commands = manual.block("install.md", "Begin again")
        together(self.machines, lambda machine: [machine.type(command) for command in commands])

    def configure(self) -> None:
        """The groups and services of the applications."""
        first = self.machines[0]
        first.write("/etc/hactl/cluster.yaml", self.configuration())
        for command in manual.block("install.md", "5. What it is to run"):
            first.type(command)

    # How it is

    def status(self, machine: Machine) -> dict[str, Any]:
        """`hactl status --json` there; {} when it cannot be had."""
        try:
            document: dict[str, Any] = json.loads(machine.look("hactl", "status", "--json"))
        except ValueError:
            return {}
        return document

    def is_well(self) -> bool:
        """Whether every node says that nothing is wrong, and that all runs."""
        return all(self._is_well(self.status(machine)) for machine in self.machines)

    def _is_well(self, status: dict[str, Any]) -> bool:
        if not status or status["source"] != "daemon":
            return False
        if [warning for warning in status["warnings"] if not _BUSY.search(warning["what"])]:
            return False
        nodes = {node["name"]: node["state"] for node in status["nodes"]}
        return nodes == dict.fromkeys(self.nodes, "online") and all(
            group["state"] == "running" for group in status["groups"]
        )

    def await_well(self, deadline_s: float = BOOT_S) -> None:
        """Wait until all is well; if it is not, what each node says is in the error."""
        try:
            wait_until(self.is_well, deadline_s=deadline_s, goal="all is well", every_s=0.3)
        except Exception as error:
            said = "\n".join(
                f"{machine.name}# hactl status\n{machine.look('hactl', 'status')}" for machine in self.machines
            )
            raise AssertionError(f"{error}\n{said}") from error

    def running(self, group: str) -> Machine | None:
        """The machine on which a group runs, as the first one says that can be asked."""
        for machine in self.machines:
            for state in self.status(machine).get("groups", []):
                if state["name"] == group and state["state"] == "running":
                    return self.nodes[state["owner"]]
        return None

    def owner(self, group: str) -> Machine:
        """The same; waits until it runs."""
        return self.await_running(group)

    def await_running(self, group: str, elsewhere_than: Machine | None = None) -> Machine:
        """Wait until a group runs, on another machine than that one."""

        def owner() -> Machine | None:
            machine = self.running(group)
            return machine if machine != elsewhere_than else None

        return wait_until(owner, deadline_s=BOOT_S, goal=f"group {group} runs", every_s=0.1)

    def await_seen(self, machine: Machine, state: str) -> None:
        """Wait until another machine says that this one is in that state."""

        def seen() -> bool:
            asked = next(other for other in self.machines if other != machine)
            nodes = self.status(asked).get("nodes", [])
            return (machine.name, state) in [(node["name"], node["state"]) for node in nodes]

        wait_until(seen, deadline_s=BOOT_S, goal=f"{machine.name} is {state}", every_s=0.1)

    def await_said(self, machine: Machine, words: str) -> None:
        """Wait until `hactl status` says these words there."""
        wait_until(
            lambda: words in machine.look("hactl", "status"),
            deadline_s=BOOT_S,
            goal=f"{machine.name}# hactl status says {words!r}",
            every_s=0.3,
        )

    def await_stopped(self, machine: Machine, unit: str) -> None:
        """Wait until this unit does not run there. (One that was killed has failed, for systemd.)"""
        wait_until(
            lambda: machine.look("systemctl", "is-active", unit) in ("inactive", "failed"),
            deadline_s=BOOT_S,
            goal=f"{unit} is stopped on {machine.name}",
        )


def note(name: str, value: object) -> None:
    """Put a figure into the run's."""
    RUN.figures[name] = value
