"""What Ansible's own checks say of deploy/ansible."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.ansible.playbook import ROLES, environment, program

COMMANDS = [
    ["ansible-lint", "--offline", "--strict"],
    ["ansible-playbook", "--syntax-check", "-i", "inventory.example.yml", "site.yml"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_nothing_is_found(command: list[str], tmp_path: Path) -> None:
    argv = [program(command[0]), *command[1:]]
    done = subprocess.run(
        argv, cwd=ROLES, env=environment(tmp_path), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
