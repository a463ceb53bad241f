"""A machine with Ansible, as docs/ansible.md has it: a copy of deploy/ansible, an inventory, ssh to the machines."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hactl.lab import netns
from hactl.lab.spec import LabSpec
from tests.machines import debian, manual
from tests.machines.machine import Machine

ROLES = debian.ROOT / "deploy/ansible"
RUN_S = 900
_RECAP = re.compile(r"^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)
RUN = "ansible-playbook site.yml"
CHECK, LIMITED = f"{RUN} --check --diff", f"{RUN} --limit n1"


def program(name: str) -> str:
    """One of Ansible's programs, in $HACTL_ANSIBLE."""
    return str(Path(os.environ["HACTL_ANSIBLE"], name).absolute())


def environment(home: Path) -> dict[str, str]:
    """For a program of Ansible's; it keeps its files in `home`."""
    path = f"{os.environ['HACTL_ANSIBLE']}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "ANSIBLE_HOME": str(home), "LANG": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}


@dataclass(frozen=True)
class Run:
    """What a run of the playbook said. `changed`: by machine, where it is not 0."""

    text: str
    ok: bool
    changed: dict[str, int]

    def failed_with(self, words: str) -> None:
        """Raise unless it failed, with these words in what it said."""
        assert not self.ok and words in self.text, self.text

    def tasks(self, name: str) -> list[str]:
        """The machines on which a task changed something, in that order."""
        parts = re.split(r"^(?:TASK|RUNNING HANDLER) \[(?:\S+ : )?(.*?)\] \*+$", self.text, flags=re.MULTILINE)
        return [
            machine
            for title, said in zip(parts[1::2], parts[2::2], strict=True)
            if title == name
            for machine in re.findall(r"^changed: \[(\w+)\]", said, re.MULTILINE)
        ]


class Control:
    """`variables`: of all machines; tests change them as an operator edits the inventory."""

    def __init__(self, spec: LabSpec, directory: Path) -> None:
        self._spec, self._home = spec, directory
        self.variables: dict[str, Any] = {}
        self.groups: dict[str, list[Machine]] = {}
        self._files = directory / "ansible"
        shutil.copytree(ROLES, self._files)
        key = directory / "id_ed25519"
        shutil.copy(debian.tree() / "root/.ssh/id_ed25519", key)
        key.chmod(0o600)
        known = debian.tree() / "root/.ssh/known_hosts"
        self._ssh = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={known} -o ControlPath={directory}/%C",
        }

    def run(self, command: str = RUN) -> Run:
        """Type a command of docs/ansible.md where the copy is."""
        assert manual.command("ansible.md", command)
        inventory: dict[str, Any] = {"all": {"vars": {**self._ssh, **self.variables}}}
        for group, machines in self.groups.items():
            inventory[group] = {"hosts": {machine.name: {"ansible_host": machine.address} for machine in machines}}
        (self._files / "inventory.yml").write_text(json.dumps(inventory))
        inside = ["nsenter", f"--net={netns.path(self._spec.namespace(self._spec.client.name))}", "--"]
        argv = [*inside, program(command.split(maxsplit=1)[0]), *command.split()[1:]]
        done = subprocess.run(
            argv,
            cwd=self._files,
            env=environment(self._home),
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        (self._home / f"{time.monotonic():.0f}.log").write_text(done.stdout + done.stderr)
        counts = [(name, int(changed)) for name, _, changed, _, _ in _RECAP.findall(done.stdout)]
        changed = {name: count for name, count in counts if count}
        return Run(done.stdout + done.stderr, done.returncode == 0, changed)

    def must(self, command: str = RUN) -> Run:
        """The same; it may not fail."""
        done = self.run(command)
        assert done.ok, done.text
        return done
