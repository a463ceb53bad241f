"""Decides about a removal, without I/O: may it begin, and what on this machine is hactl's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

# The settings of the kernel that hactl makes, and its own file that has them at boot.
SYSCTLS = ("net.ipv4.ip_nonlocal_bind", "net.ipv6.ip_nonlocal_bind")
OWN_SYSCTL_FILE = "/usr/lib/sysctl.d/60-hactl.conf"

_TABLES = "hactl_vip_"

Step = Literal["hand over", "stop"]


class RefusedError(Exception):
    """The removal must not go on. The text says why, and the way out."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of this node. `daemon`: one answers here. `guarded`: the names (GROUP/RESOURCE) that the guard has
    to stop before the lease is over, because they run here exclusively. `forced`: the operator insists."""

    node: str
    daemon: bool
    guarded: tuple[str, ...]
    forced: bool

    @property
    def groups(self) -> str:
        """The groups that run here exclusively, in words."""
        return ", ".join(groups_of(self.guarded))


def groups_of(names: Iterable[str]) -> list[str]:
    """The groups of GROUP/RESOURCE names."""
    return sorted({name.partition("/")[0] for name in names})


def first_step(facts: Facts, force_how: str) -> Step:
    """How the removal begins. Raises RefusedError: the daemon that could hand the groups over does not answer."""
    if facts.daemon:
        return "hand over"
    if facts.guarded and not facts.forced:
        raise RefusedError(
            f"{facts.groups} may run here, and no daemon answers that could hand it over: `systemctl start hactl` "
            f"first. {force_how} stops it here; it then runs nowhere until another node takes it"
        )
    return "stop"


def not_handed_over(facts: Facts, problem: str, force_how: str) -> str:
    """Why the removal goes on, as a warning. Raises RefusedError where something runs here that would be lost."""
    if facts.guarded and not facts.forced:
        raise RefusedError(
            f"{facts.groups} cannot be handed over: {problem}. Nothing was stopped. {force_how} stops it here; it then "
            "runs nowhere until another node takes it"
        )
    return f"{facts.node} could not be put into standby: {problem}"


def sysctls_to_reset(files: Mapping[str, str]) -> list[str]:
    """The settings that no file but hactl's own asks for. `files`: the text of every file of sysctl.d, by its path."""
    others = [text for path, text in files.items() if path != OWN_SYSCTL_FILE]
    names = {line.partition("=")[0].strip(" -\t").replace("/", ".") for text in others for line in text.splitlines()}
    return [name for name in SYSCTLS if name not in names]


def own_tables(listed: str) -> list[tuple[str, str]]:
    """Family and name of hactl's tables in the answer of `nft -j list tables`; none where it cannot be read."""
    try:
        entries = json.loads(listed)["nftables"]
        tables = [entry["table"] for entry in entries if "table" in entry]
        return [(str(table["family"]), table["name"]) for table in tables if table["name"].startswith(_TABLES)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
