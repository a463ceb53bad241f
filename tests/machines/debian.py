"""The disk that a new machine has: a Debian as its installer leaves it, with systemd, a network and ssh.

All packages that hactl's package pulls in, and some more, lie in apt's cache, so that `apt install` needs no network
when a test runs: it installs them as on any machine, and their own units start.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
from pathlib import Path

from tests.support import nspawn
from tests.support.package import ROOT, built_package

SUITES = {"12": "bookworm", "13": "trixie"}
SYSTEM = ["systemd", "systemd-sysv", "dbus", "openssh-server", "openssh-client", "iproute2", "iputils-ping"]
SYSTEM += ["procps", "kmod"]
LOOKING = ("iputils-arping", "ndisc6")
# What tests install beside hactl: Ansible needs Python and its binding to apt; Prometheus watches the machines;
# docs/hardware.md looks for addresses with these.
BESIDE = {"python3", "python3-apt", "prometheus", *LOOKING}
# What tests upgrade.
UPGRADED = ["systemd", "dbus"]

NETWORK = "[Match]\nName=eth0\n\n[Network]\nAddress={address}/24\nLinkLocalAddressing=no\n"


def release() -> str:
    """The Debian that the machines have: 12, or $HACTL_RELEASE."""
    return os.environ.get("HACTL_RELEASE") or "12"


@functools.cache
def package() -> Path:
    """hactl's package for them."""
    return built_package(int(release()))


def wanted() -> list[tuple[str, ...]]:
    """The packages that hactl's package depends on or recommends, each with its alternatives, and those beside it."""
    control = (ROOT / "deploy/debian/control").read_text().partition("\nPackage: ")[2]
    lines = re.findall(r"^(?:Depends|Recommends):((?:.|\n )*)", control, re.MULTILINE)
    asked = [re.sub(r"\(.*?\)", "", words).replace(" ", "").strip() for words in ",".join(lines).split(",")]
    return sorted({tuple(words.split("|")) for words in asked if words and "$" not in words} | {(x,) for x in BESIDE})


@functools.cache
def tree() -> Path:
    """The root tree: made once for each list of packages."""
    suite, packages = SUITES[release()], wanted()
    digest = hashlib.sha256(repr([SYSTEM, packages, UPGRADED]).encode()).hexdigest()[:8]
    return nspawn.root_tree(f"{suite}-machine-{digest}", suite, SYSTEM, lambda new: _finish(new, packages))


def _finish(new: Path, packages: list[tuple[str, ...]]) -> None:
    shutil.copy("/etc/resolv.conf", new / "etc/resolv.conf")
    nspawn.must(["chroot", str(new), "sh", "-ec", "apt-get clean && apt-get update -qq"], timeout_s=600)
    known = set(nspawn.must(["chroot", str(new), "apt-cache", "pkgnames"], timeout_s=60).split())
    # (A virtual package is none of them.)
    first = [next((name for name in names if name in known), names[0]) for names in packages]
    noninteractive = "export DEBIAN_FRONTEND=noninteractive"
    for command in (
        f"{noninteractive}; apt-get install -y -qq --download-only {' '.join(first)}",
        f"{noninteractive}; apt-get install -y -qq --download-only --reinstall {' '.join(UPGRADED)}",
        "systemctl enable systemd-networkd",
        "ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 && cd /root/.ssh && cp id_ed25519.pub authorized_keys",
        "sed 's/^/10.77.0.* /' /etc/ssh/ssh_host_ed25519_key.pub > /root/.ssh/known_hosts",
    ):
        nspawn.must(["chroot", str(new), "sh", "-ec", command], timeout_s=600)
    for generated in ("etc/resolv.conf", "etc/hostname", "etc/machine-id"):
        (new / generated).unlink(missing_ok=True)


def prepare(disk: Path, name: str, address: str, machine_id: str) -> None:
    """What the installer asks for: written to an empty disk (the upper directory of an overlay)."""
    texts = {
        "etc/hostname": f"{name}\n",
        "etc/machine-id": f"{machine_id}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n",
        "etc/systemd/network/20-eth0.network": NETWORK.format(address=address),
    }
    for place, text in texts.items():
        (disk / place).parent.mkdir(parents=True, exist_ok=True)
        (disk / place).write_text(text)
